import FoundationEssentials

/// What is in an entry of a shared store, before it is sealed: a token, or a failure that the vendor caused.
///
/// Everything that decides whether a token is served is in here, so that whoever writes to the store cannot make a
/// token live longer.
enum SharedEntry {
    /// A token with its absolute expiry.
    struct Content {
        var token: Token
        /// The expiry by the vendor's clock.
        var expiry: Date
        /// The lifetime with which the token was issued.
        var life: Duration
    }

    /// A day, in seconds. No cache keeps a token longer.
    private static let longestLife = 86_400.0

    /// Returns a token as bytes.
    /// - Parameter now: The time by the vendor's clock.
    static func bytes(_ token: Token, now: Date) -> [UInt8] {
        let expiry = now.addingTimeInterval(token.remaining / .seconds(1))
        return JSONValue.object([
            "token": .string(token.secret.reveal()), "type": .string(token.type), "id": .string(token.id.rawValue),
            "expiry": .number(expiry.timeIntervalSince1970),
            "stated": .number(token.expiresAt.timeIntervalSince1970),
            "life": .number(min((token.lifetime ?? token.remaining) / .seconds(1), longestLife)),
        ]).serialized
    }

    /// Returns the token in the bytes, without its place in a line; `nil` if there is none.
    static func content(of bytes: [UInt8]) -> Content? {
        guard let value = try? JSONValue.parse(bytes), let secret = value["token"]?.string, !secret.isEmpty,
            let type = value["type"]?.string, let id = value["id"]?.string, let expiry = value["expiry"]?.number,
            let stated = value["stated"]?.number, let life = value["life"]?.number, 0...longestLife ~= life
        else { return nil }
        let token = Token(
            id: Token.ID(rawValue: id), secret: Secret(secret.unicode), type: type.unicode, remaining: .seconds(life),
            expiresAt: Date(timeIntervalSince1970: stated)
        )
        return Content(token: token, expiry: Date(timeIntervalSince1970: expiry), life: .seconds(life))
    }

    /// The kinds of failure that are shared: those that the vendor caused, so that they concern every process alike.
    private static let failures: [ExactString: TokenError.Code] = [
        "requestRejected": .requestRejected, "credentialsRejected": .credentialsRejected, "throttled": .throttled,
    ]

    /// Returns a failure as bytes, and how long other processes share it; `nil` if it is not shared.
    ///
    /// A transport that fails, a timeout and a block page may have their cause in this process or its network.
    static func bytes(_ error: TokenError) -> (bytes: [UInt8], time: Duration)? {
        guard !error.isForeign, !(error.cause is TransportError), let name = failures.first(where: { $1 == error.code })
        else { return nil }
        let time: Duration =
            switch error.code {
            case .throttled: min(max(error.retryAfter ?? .zero, .seconds(1)), longestRetryAfter)
            // As long as the provider itself does not send a refused credential again.
            case .credentialsRejected: .seconds(30)
            default: .seconds(1)
            }
        return (JSONValue.object(["failure": .string(name.key)]).serialized, time)
    }

    /// Returns the failure in the bytes; `nil` if there is none.
    /// - Parameter remaining: The time until the next fetch.
    static func failure(in bytes: [UInt8], remaining: Duration) -> TokenError? {
        guard let value = try? JSONValue.parse(bytes), let name = value["failure"]?.string,
            let code = failures[name]
        else { return nil }
        return TokenError(
            code, message: "the vendor refused this to another process of the fleet",
            retryAfter: code == .requestRejected ? nil : min(max(remaining, .zero), longestRetryAfter), wasRetried: true
        )
    }
}
