public import HTTPTypes

/// Takes the word of a reverse proxy that has found out who asks, as it stands in header fields.
///
/// The proxy has to prove that it is the proxy: with a secret in a header field, by its address, or both if both are given. It must
/// remove those fields from what clients send. A field that stands twice, or has a comma where there can only be one value, was not set
/// by the proxy alone, and proves nothing.
public struct ForwardedAuthenticator: Authenticator {
    private let subject: HTTPField.Name
    private let tenant: HTTPField.Name?
    private let claims: [String: HTTPField.Name]
    private let secretField: HTTPField.Name
    private let secrets: SharedSecrets?
    private let peers: [IPAddressBlock]

    /// - Parameters:
    ///   - subject: The field that names who asks.
    ///   - tenant: The field that names the tenant; it has to be there then.
    ///   - claims: Fields that become claims of these names where they are there; values with commas become lists.
    ///   - secretField: The field with the secret.
    ///   - secrets: What has to stand there, if anything.
    ///   - peers: Where the proxy's connections come from, if that has to be looked at. Without secret and peers nobody is believed.
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
    }

    /// See ``Authenticator/proof(in:)``. A sign-in at a proxy is as a rule kept in a cookie, which may not have come this far.
    public func proof(in request: RouteRequest) -> Proof {
        let fields = request.head.headerFields
        let isBearer = fields[.authorization]?.lowercased().hasPrefix("bearer ") == true
        return isBearer || !fields.contains(subject) ? .presented : .ambient
    }

    /// See ``Authenticator/authenticate(_:)``; the type tells what is particular.
    /// - Throws: ``CredentialError`` if the secret cannot be had.
    public func authenticate(_ request: RouteRequest) async throws -> Principal? {
        guard try isFromProxy(request), let subject = single(subject, in: request) else { return nil }
        var principal = Principal(subject: subject)
        if let tenant {
            guard let tenant = single(tenant, in: request) else { return nil }
            principal.tenant = ExactString(tenant)
        }
        for (claim, field) in claims {
            let values = request.head.headerFields[values: field]
            guard values.count <= 1 else { return nil }
            let elements = (values.first ?? "").split(separator: ",").map { String($0.trimmingWhiteSpace) }
                .filter { !$0.isEmpty }
            guard let first = elements.first else { continue }
            principal.claims[ExactString(claim)] =
                elements.count == 1 ? .string(first) : .array(elements.map(JSONValue.string))
        }
        return principal
    }

    private func isFromProxy(_ request: RouteRequest) throws -> Bool {
        if !peers.isEmpty {
            guard let address = request.peer.flatMap({ IPAddress($0.ip) }),
                peers.contains(where: { $0.contains(address) })
            else { return false }
        }
        guard let secrets else { return !peers.isEmpty }
        let given = request.head.headerFields[values: secretField]
        guard given.count == 1, let secret = given.first.map({ Secret($0) }) else { return false }
        // All of them, so that the time does not tell which.
        return try secrets.load().reduce(false) { $1 == secret || $0 }
    }

    private func single(_ name: HTTPField.Name, in request: RouteRequest) -> String? {
        let values = request.head.headerFields[values: name]
        guard values.count == 1, let value = values.first?.trimmingWhiteSpace, (1...255).contains(value.utf8.count),
            !value.contains(",")
        else { return nil }
        return String(value)
    }
}
