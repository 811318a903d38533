public import HTTPTypes

/// Takes the word of a reverse proxy that has found out who asks, as it stands in header fields.
///
/// The proxy has to prove that it is the proxy: with a secret in a header field, by its address, or both if both are
/// given. It must remove those fields from what clients send. A field that stands twice, or has a comma where there
/// can only be one value, was not set by the proxy alone, and proves nothing.
public struct ForwardedAuthenticator: Authenticator {
    private let subject: HTTPField.Name
    private let tenant: HTTPField.Name?
    private let claims: [String: HTTPField.Name]
    private let secretField: HTTPField.Name
    private let secrets: SharedSecrets?
    private let peers: [IPAddressBlock]
    private let areEverybody: Bool

    /// - Parameters:
    ///   - subject: The field that names who asks.
    ///   - tenant: The field that names the tenant; it has to be there then.
    ///   - claims: Fields that become claims of these names where they are there; values with commas become lists.
    ///   - secretField: The field with the secret.
    ///   - secrets: What has to stand there, if anything.
    ///   - peers: Where the proxy's connections come from, if that has to be looked at. Nobody is believed without a
    ///     secret if there are no peers, or if practically everybody is among them, such as with `0.0.0.0/0`.
    public init(
        subject: HTTPField.Name, tenant: HTTPField.Name? = nil, claims: [String: HTTPField.Name] = [:],
        secretField: HTTPField.Name, secrets: SharedSecrets?, peers: [IPAddressBlock] = []
    ) {
        self.subject = subject
        self.tenant = tenant
        self.claims = claims
        self.secretField = secretField
        self.secrets = secrets
        self.peers = peers
        self.areEverybody = peers.areEverybody
    }

    /// The fields that the proxy sets.
    public var reservedFields: Set<HTTPField.Name> {
        Set([subject, secretField] + [tenant].compactMap(\.self) + claims.values)
    }

    /// See ``Authenticator/proof(in:)``. A sign-in at a proxy is as a rule kept in a cookie, which may not have come
    /// this far.
    public func proof(in request: RouteRequest) -> Proof {
        let fields = request.head.headerFields
        return fields[.authorization].flatMap(bearerToken) != nil || !fields.contains(subject) ? .presented : .ambient
    }

    /// See ``Authenticator/authenticate(_:)``; the type tells what is particular.
    /// - Throws: ``CredentialError`` if the secret cannot be had.
    public func authenticate(_ request: RouteRequest) async throws -> Principal? {
        guard try await isFromProxy(request), let subject = single(subject, in: request) else { return nil }
        var principal = Principal(subject: subject)
        if let tenant {
            guard let tenant = single(tenant, in: request) else { return nil }
            principal.tenant = ExactString(tenant)
        }
        for (claim, field) in claims {
            let fields = request.head.headerFields[fields: field]
            guard fields.count <= 1 else { return nil }
            guard let value = fields.first else { continue }
            guard let text = value.textForSure else { return nil }
            let elements = text.utf8.split(separator: UInt8(ascii: ",")).map { String(trimmingSpaces($0)) }
                .filter { !$0.isEmpty }
            guard let first = elements.first else { continue }
            principal.claims[ExactString(claim)] =
                elements.count == 1 ? .string(first) : .array(elements.map(JSONValue.string))
        }
        return principal
    }

    private func isFromProxy(_ request: RouteRequest) async throws -> Bool {
        if !peers.isEmpty {
            guard let address = request.peer.flatMap({ IPAddress($0.ip) }),
                peers.contains(where: { $0.contains(address) })
            else { return false }
        }
        guard let secrets else { return !peers.isEmpty && !areEverybody }
        let given = request.head.headerFields[values: secretField]
        guard given.count == 1, let secret = given.first.map({ Secret($0) }) else { return false }
        // All of them, so that the time does not tell which.
        return try await secrets.current().reduce(false) { $1 == secret || $0 }
    }

    private func single(_ name: HTTPField.Name, in request: RouteRequest) -> String? {
        let fields = request.head.headerFields[fields: name]
        guard fields.count == 1, let text = fields.first?.textForSure else { return nil }
        let value = trimmingSpaces(text.utf8[...])
        guard (1...255).contains(value.utf8.count), !value.utf8.contains(UInt8(ascii: ",")) else { return nil }
        return String(value)
    }
}

/// Without spaces and tabs at both ends, which are no part of a value (RFC 9110, section 5.5). Other white space is.
private func trimmingSpaces(_ text: Substring.UTF8View) -> Substring {
    func isSpace(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return Substring(text)
}

extension HTTPField {
    /// The value; `nil` if it is not UTF-8, or if a host may have put U+FFFD where it was not, since values that
    /// differ would look the same.
    var textForSure: String? {
        let text = withUnsafeBytesOfValue { String(validating: $0, as: UTF8.self) }
        guard let text, !text.unicodeScalars.contains("\u{FFFD}") else { return nil }
        return text
    }
}

/// What stands behind `Bearer` in a value of `Authorization` (RFC 6750, section 2.1); `nil` with another scheme.
package func bearerToken(_ authorization: String) -> String? {
    let bytes = authorization.utf8
    let scheme = "bearer ".utf8
    guard bytes.count >= scheme.count, zip(bytes, scheme).allSatisfy({ $0 | 0x20 == $1 }) else { return nil }
    return String(Substring(bytes.dropFirst(scheme.count).drop { $0 == UInt8(ascii: " ") }))
}
