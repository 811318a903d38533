/// Returns the credential stored under two names; `nil` if neither is present. Surrounding white space and line ends
/// are not part of a value.
package func pair(
    from values: [String: String], _ names: CredentialNames, source: String
) throws(CredentialError) -> Credential? {
    guard values[names.clientID] != nil || names.clientSecret.flatMap({ values[$0] }) != nil else { return nil }
    func value(_ name: String) throws(CredentialError) -> Secret {
        guard let value = values[name] else {
            throw CredentialError(.incomplete, source: source, message: "\(ConfiguredNames.name(name)) is missing")
        }
        let trimmed = value.trimmingWhiteSpace
        guard !trimmed.isEmpty else {
            throw CredentialError(.incomplete, source: source, message: "\(ConfiguredNames.name(name)) is empty")
        }
        return Secret(String(trimmed))
    }
    let clientID = try value(names.clientID)
    guard let name = names.clientSecret else { return Credential(clientID: clientID, clientSecret: Secret("")) }
    return Credential(clientID: clientID, clientSecret: try value(name))
}

extension CredentialNames {
    /// The names in JSON, as in RFC 6749.
    package static func json(needsSecret: Bool) -> Self {
        Self(clientID: "client_id", clientSecret: needsSecret ? "client_secret" : nil)
    }
}

/// Returns the credentials in a JSON object, or in an array of such objects in order of preference.
package func pairs(
    inJSON bytes: [UInt8], needsSecret: Bool, source: String
) throws(CredentialError) -> [Credential] {
    let names = CredentialNames.json(needsSecret: needsSecret)
    switch try? JSONValue.parse(bytes) {
    case .object(let members)?: return [try pair(in: members, names, source: source)]
    case .array(let elements)? where (1...4).contains(elements.count):
        var pairs: [Credential] = []
        for element in elements {
            guard case .object(let members) = element else { throw notJSON(source) }
            pairs.append(try pair(in: members, names, source: source))
        }
        return pairs
    default: throw notJSON(source)
    }
}

private func notJSON(_ source: String) -> CredentialError {
    CredentialError(
        .malformed, source: source,
        message: "expected a JSON object without duplicate keys, or an array of one to four such objects"
    )
}

/// Returns the credential in the members of a JSON object.
func pair(
    in members: [ExactString: JSONValue], _ names: CredentialNames, source: String
) throws(CredentialError) -> Credential {
    var values: [String: String] = [:]
    for name in [names.clientID, names.clientSecret].compactMap({ $0 }) {
        guard let member = members[ExactString(name)] else { continue }
        guard let text = member.string else {
            throw CredentialError(.malformed, source: source, message: "\(ConfiguredNames.name(name)) is not a string")
        }
        values[name] = text.unicode
    }
    if let found = try pair(from: values, names, source: source) { return found }
    throw CredentialError(.incomplete, source: source, message: "it has no \(names)")
}
