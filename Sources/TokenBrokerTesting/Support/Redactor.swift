import FoundationEssentials
import HTTPTypes
import TokenBroker

/// Replaces each secret by a placeholder that tells it from others. The same secret always has the same placeholder.
struct Redactor: Sendable {
    /// The JSON members, form parameters and query parameters whose values are secret.
    static let secretNames: Set<String> = [
        "access_token", "refresh_token", "id_token", "token", "client_id", "client_secret", "client_assertion",
        "assertion", "password", "code", "api_key", "secret",
    ]
    /// The header fields whose values are kept, apart from known secrets in them.
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

    /// Returns whether a member is secret. The `code` of an error, which has a `message` beside it, is not.
    private func isSecret(_ name: String, in object: [ExactString: JSONValue]) -> Bool {
        secretNames.contains(name) && !(name == "code" && object["message"] != nil)
    }

    private mutating func name(of secret: String, as kind: String) -> String {
        // A placeholder from a replay stays as it is.
        if secret.isEmpty || (secret.hasPrefix("<") && secret.hasSuffix(">")) { return secret }
        if let name = names[ExactString(secret)] { return name }
        counts[kind, default: 0] += 1
        let name = unsigned(secret) ?? "<\(kind) \(counts[kind, default: 0])>"
        names[ExactString(secret)] = name
        return name
    }

    /// Returns a token with the same claims, which providers can still read, and a worthless signature. Returns `nil`
    /// if the text is not a JSON Web Token.
    private func unsigned(_ text: String) -> String? {
        guard let jwt = UnverifiedJWT(text), case .object(var claims) = jwt.claims else { return nil }
        for name in claims.keys where isSecret(name.unicode, in: claims) { claims[name] = .string("<\(name)>") }
        return UnverifiedJWT.text(claims: claims)
    }

    /// Returns the text with all secrets that are known so far replaced.
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
                // A bearer token was issued in an earlier exchange and keeps its placeholder. Of other credentials,
                // only the scheme is kept.
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
        // In other text, such as truncated JSON, a token may occur anywhere.
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

    /// Returns the text without runs of characters that are as long as a token.
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
