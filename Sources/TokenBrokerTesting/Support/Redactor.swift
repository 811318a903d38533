import FoundationEssentials
import HTTPTypes
import TokenBroker

/// Replaces secrets by names that say which one it was, the same one always by the same name.
struct Redactor: Sendable {
    /// JSON members, form and query parameters whose values are secret.
    static let secretNames: Set<String> = [
        "access_token", "refresh_token", "id_token", "token", "client_id", "client_secret", "client_assertion",
        "assertion", "password", "code", "api_key", "secret",
    ]
    /// Header fields that are kept as they are.
    static let plainFields: Set<HTTPField.Name> = [
        .accept, .allow, .cacheControl, .contentEncoding, .contentLength, .contentType, .location, .retryAfter,
        .transferEncoding, .wwwAuthenticate,
    ]

    private let secretNames: Set<String>
    private let plainFields: Set<HTTPField.Name>
    private var names: [ExactString: String] = [:]
    private var counts: [String: Int] = [:]

    init(alsoSecret: Set<String>, alsoPlain: Set<HTTPField.Name>) {
        secretNames = Self.secretNames.union(alsoSecret)
        plainFields = Self.plainFields.union(alsoPlain)
    }

    /// An error's `code` is no secret.
    private func isSecret(_ name: String, in object: [ExactString: JSONValue]) -> Bool {
        secretNames.contains(name) && !(name == "code" && object["message"] != nil)
    }

    private mutating func name(of secret: String, as kind: String) -> String {
        // What a replay handed out comes back as it is.
        if secret.isEmpty || (secret.hasPrefix("<") && secret.hasSuffix(">")) { return secret }
        if let name = names[ExactString(secret)] { return name }
        counts[kind, default: 0] += 1
        let name = unsigned(secret) ?? "<\(kind) \(counts[kind, default: 0])>"
        names[ExactString(secret)] = name
        return name
    }

    /// A token that providers can still read the claims of, and that opens nothing.
    private func unsigned(_ text: String) -> String? {
        guard let jwt = UnverifiedJWT(text), case .object(var claims) = jwt.claims else { return nil }
        for name in claims.keys where isSecret(name.unicode, in: claims) { claims[name] = .string("<\(name)>") }
        return UnverifiedJWT.text(claims: claims)
    }

    /// Everything that is known to be secret by now, wherever it stands.
    private func replaced(_ text: String) -> String {
        names.filter { $0.key.utf8.count >= 4 }
            .sorted { ($0.key.utf8.count, $0.key) > ($1.key.utf8.count, $1.key) }
            .reduce(text) { $0.replacing($1.key.unicode, with: $1.value) }
    }

    mutating func request(_ request: HTTPRequest, body: [UInt8]) -> Recording.Request {
        let body = self.body(body, request.headerFields[.contentType])
        return Recording.Request(
            method: request.method.rawValue, scheme: request.scheme, authority: request.authority,
            path: request.path.map { path($0) }, headerFields: fields(request.headerFields), body: body
        )
    }

    mutating func response(_ response: TransportResponse) -> Recording.Response {
        let body = self.body(response.body, response.headerFields[.contentType])
        return Recording.Response(
            status: response.status.code, headerFields: fields(response.headerFields), body: body,
            elapsed: Int(response.elapsed / .milliseconds(1))
        )
    }

    private mutating func path(_ target: String) -> String {
        let parts = target.split(separator: "?", maxSplits: 1)
        guard parts.count == 2 else { return replaced(target) }
        let query = parts[1].split(separator: "&").map { pair -> String in
            let name = pair.prefix { $0 != "=" }
            return secretNames.contains(String(name)) ? "\(name)=<\(name)>" : replaced(String(pair))
        }
        return replaced(String(parts[0])) + "?" + query.joined(separator: "&")
    }

    private mutating func fields(_ fields: HTTPFields) -> [Recording.Field] {
        fields.map { field in
            var value = field.value
            if field.name == .authorization || field.name == .proxyAuthorization {
                let parts = value.split(separator: " ", maxSplits: 1).map(String.init)
                let scheme = parts.first ?? ""
                // A bearer is a token that came before; of anything else it is enough that it is there.
                value =
                    parts.count == 2 && scheme.lowercased() == "bearer"
                    ? "\(scheme) \(name(of: parts[1], as: "access_token"))" : "\(scheme) <credentials>"
            } else if field.name == .location {
                value = path(value)
            } else {
                value = plainFields.contains(field.name) ? replaced(value) : "<redacted>"
            }
            return Recording.Field(name: field.name.canonicalName, value: value)
        }
    }

    private mutating func body(_ bytes: [UInt8], _ type: String?) -> Recording.Body? {
        guard !bytes.isEmpty else { return nil }
        if let value = try? JSONValue.parse(bytes) { return .json(json(value)) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            return .base64(Data(bytes).base64EncodedString())
        }
        if type?.hasPrefix("application/x-www-form-urlencoded") ?? false {
            return .form(
                text.split(separator: "&").map { pair in
                    let parts = pair.split(separator: "=", maxSplits: 1).map { part in
                        percentDecoded(part.replacing("+", with: " ")) ?? String(part)
                    }
                    let (name, value) = (parts.first ?? "", parts.count == 2 ? parts[1] : "")
                    return Recording.Field(
                        name: name, value: secretNames.contains(name) ? self.name(of: value, as: name) : replaced(value)
                    )
                }
            )
        }
        // Neither; a token may stand anywhere in it, such as in JSON that was cut off.
        return .text(masked(replaced(text)))
    }

    private mutating func json(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            var result: [ExactString: JSONValue] = [:]
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                if isSecret(name.unicode, in: members), let text = value.string {
                    result[name] = .string(self.name(of: text.unicode, as: name.unicode))
                } else {
                    result[name] = json(value)
                }
            }
            return .object(result)
        case .array(let elements): return .array(elements.map { json($0) })
        case .string(let text): return .string(replaced(text.unicode))
        default: return value
        }
    }

    /// Without runs of characters as long as a token's.
    private func masked(_ text: String) -> String {
        var result = ""
        var run = ""
        for character in text + " " {
            if character.isASCII, character.isLetter || character.isNumber || "-._~+/=".contains(character) {
                run.append(character)
            } else {
                result += run.count >= 20 ? "<redacted>" : run
                result.append(character)
                run = ""
            }
        }
        return String(result.dropLast())
    }
}
