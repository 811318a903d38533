public import FoundationEssentials
import HTTPTypes
import Synchronization

/// Step 1: exchanges client id and secret for an access token (RFC 6749, section 4.4).
///
/// It asks the credential source on every fetch, so that a rotation takes effect. A pair that the vendor refused is
/// remembered for 30 seconds and not sent again; another pair is tried at once.
///
/// The answer's `expires_in` counts from when the request was sent. It is read as follows:
/// - a number, or a number in a string, also with a fraction: seconds;
/// - 1,000,000 or more: milliseconds, since no access token lives that many seconds and the shorter reading is the safe one;
/// - more than a day: a day;
/// - zero or negative: the token is dead on arrival, which is ``TokenError/Code/unavailable``;
/// - absent, null or anything else: the profile's ``VendorProfile/assumedLifetime``.
public struct ClientCredentialsProvider<C: Clock>: TokenProvider, ReadinessReporting where C.Duration == Duration {
    private let call: VendorCall
    private let credentials: any CredentialSource
    private let clock: C
    private let line: CredentialLine<C.Instant>

    /// - Parameters:
    ///   - vendor: Where to ask, and how.
    ///   - credentials: Asked on every fetch for the profile's id.
    ///   - transport: Carries the call.
    ///   - deadline: For the call, queueing included.
    ///   - clock: Measures how long a refusal is remembered.
    ///   - wallClock: Only for absolute times: `expiresAt`, and a `Retry-After` that is a date.
    public init(
        vendor: Vendor, credentials: any CredentialSource, transport: any HTTPTransport,
        deadline: Duration = .seconds(10), clock: C = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.call = VendorCall(
            vendor: vendor, transport: transport, deadline: deadline, priority: .high, wallClock: wallClock
        )
        self.credentials = credentials
        self.clock = clock
        self.line = CredentialLine()
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let credential = try await load()
        guard let lineage = line.lineage(of: credential, now: clock.now) else {
            throw TokenError(.credentialsRejected, message: "the vendor refused these credentials less than 30 s ago")
        }
        let response = try await call.send(
            call.vendor.request(
                .post, call.vendor.profile.accessToken.path,
                [
                    .authorization: basicAuthorization(credential),
                    .contentType: "application/x-www-form-urlencoded", .accept: "application/json",
                ]
            ),
            body: Array(form(for: request).utf8)
        )
        guard response.status.kind == .successful else {
            let error = call.error(for: response, outcomes: call.vendor.profile.accessToken.outcomes)
            if error.code == .credentialsRejected {
                line.refuse(credential, until: clock.now.advanced(by: .seconds(30)))
            }
            throw error
        }
        return try token(in: response, lineage: Lineage(descendingFrom: lineage))
    }

    /// See ``ReadinessReporting/readiness()``; never calls the vendor.
    public func readiness() async -> Readiness {
        do {
            let credential = try await load()
            return line.isRefused(credential, now: clock.now) ? .notReady("credentials_refused") : .ready
        } catch {
            return .notReady("credentials_unavailable")
        }
    }

    private func load() async throws(TokenError) -> Credential {
        do {
            if let credential = try await credentials.credentials(for: CredentialID(rawValue: call.vendor.profile.id))
                .first
            {
                return credential
            }
        } catch {
            throw TokenError(.misconfigured, message: "the credentials cannot be used", cause: error)
        }
        throw TokenError(.misconfigured, message: "no source has credentials for \(call.vendor.profile.id)")
    }

    private func basicAuthorization(_ credential: Credential) -> String {
        let (id, secret) = (credential.clientID.reveal(), credential.clientSecret.reveal())
        let pair =
            switch call.vendor.basicEncoding {
            case .form: "\(formEncoded(id)):\(formEncoded(secret))"
            case .raw: "\(id):\(secret)"
            }
        return "Basic " + Data(pair.utf8).base64EncodedString()
    }

    private func form(for request: TokenRequest) -> String {
        var form = "grant_type=client_credentials"
        if !request.scopes.isEmpty { form += "&scope=" + formEncoded(request.scopes.sorted().joined(separator: " ")) }
        if let audience = request.audience { form += "&audience=" + formEncoded(audience) }
        return form
    }

    private func token(in response: TransportResponse, lineage: Lineage) throws(TokenError) -> Token {
        let body = try call.object(in: response)
        if let error = body["error"], error != .null {
            throw TokenError(.unavailable, message: "the vendor answered 200 with an error")
        }
        guard let text = body["access_token"]?.string, !text.isEmpty else {
            throw TokenError(.unavailable, message: "the vendor's answer has no access_token")
        }
        let type = body["token_type"] ?? .null
        guard type == .null || type.string?.lowercased() == "bearer" else {
            throw TokenError(.unavailable, message: "the vendor's answer has an unknown token_type")
        }
        let remaining = lifetime(body["expires_in"]) - response.elapsed
        guard remaining > .zero else {
            throw TokenError(.unavailable, message: "the vendor issued an access token that has expired already")
        }
        return Token(
            secret: Secret(text), remaining: remaining,
            expiresAt: call.wallClock().addingTimeInterval(remaining / .seconds(1)), lineage: lineage
        )
    }

    private func lifetime(_ value: JSONValue?) -> Duration {
        guard let seconds = value?.number ?? value?.string.flatMap(Double.init), seconds.isFinite else {
            return call.vendor.profile.assumedLifetime
        }
        let plausible = seconds >= 1_000_000 ? seconds / 1000 : seconds
        return .seconds(min(max(plausible, 0), 86_400))
    }
}

/// What is remembered of the credentials in use: their line, and whether they were refused.
private final class CredentialLine<Instant: InstantProtocol>: Sendable where Instant.Duration == Duration {
    private let current = Mutex<(credential: Credential, lineage: Lineage, refusedUntil: Instant?)?>(nil)

    /// The line that tokens of `credential` descend from; `nil` while it counts as refused. Another pair than before supersedes the line of the
    /// former one.
    func lineage(of credential: Credential, now: Instant) -> Lineage? {
        current.withLock { current in
            if let known = current, known.credential == credential {
                if let until = known.refusedUntil, now < until { return nil }
                return known.lineage
            }
            current?.lineage.supersede()
            let lineage = Lineage()
            current = (credential, lineage, nil)
            return lineage
        }
    }

    func refuse(_ credential: Credential, until: Instant) {
        current.withLock { current in
            // A pair that was replaced meanwhile is none of the new one's fault.
            guard current?.credential == credential else { return }
            current?.refusedUntil = until
        }
    }

    func isRefused(_ credential: Credential, now: Instant) -> Bool {
        current.withLock { current in
            guard let current, current.credential == credential, let until = current.refusedUntil else { return false }
            return now < until
        }
    }
}
