/// The names under which the tokens of one step are shared. None of them reveals an id or a secret.
struct SharedNames: Sendable {
    let sealing: any Sealing
    let step: String
    let baseURL: String

    /// Returns the name of the tokens for a request with a credential. Processes with different credentials have
    /// different names, so that they never share a token.
    func name(of request: TokenRequest, with credential: Credential) -> String {
        var line = Message()
        line.append(credential.clientID.reveal())
        line.append(credential.clientSecret.reveal())
        var message = Message()
        message.append(step)
        message.append(baseURL)
        message.append(sealing.name(for: line.bytes))
        message.append(request.tenant)
        message.append("\(request.inputs.count)")
        for (input, value) in request.inputs.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            message.append(input.rawValue)
            message.append(value)
        }
        message.append("\(request.scopes.count)")
        for scope in request.scopes.sorted() { message.append(scope) }
        if let audience = request.audience { message.append(audience) }
        return sealing.name(for: message.bytes)
    }

    /// Returns the tag of a token. An id may come from a page, so the store is not given the id itself.
    func tag(of id: Token.ID) -> String {
        var message = Message()
        message.append("tag")
        message.append(id.rawValue)
        return sealing.name(for: message.bytes)
    }

    /// Texts one after the other, each with its length in front, so that no two sequences give the same bytes.
    fileprivate struct Message {
        var bytes: [UInt8] = []

        mutating func append(_ text: String) { append(text.utf8) }
        mutating func append(_ text: ExactString) { append(text.utf8) }

        private mutating func append(_ text: some Collection<UInt8>) {
            let count = UInt32(truncatingIfNeeded: text.count)
            bytes += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
            bytes += text
        }
    }
}

extension Fleet {
    /// Returns the name of the rate limit of a vendor's account. It does not depend on the keys, because a change of
    /// keys would otherwise double the rate.
    package func rateLimitName(of vendor: Vendor, tenant: String = "") -> String {
        var message = SharedNames.Message()
        message.append(vendor.url(""))
        message.append(vendor.profile.id)
        message.append(tenant)
        return sealing.digest(of: message.bytes)
    }
}
