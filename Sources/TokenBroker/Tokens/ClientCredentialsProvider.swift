public import FoundationEssentials
import HTTPTypes
public import Logging
import Synchronization

/// Step 1: gets an access token for a client that proves itself as ``VendorProfile/ClientAuthentication`` says (RFC 6749,
/// section 4.4).
///
/// It asks the credential source on every fetch and in ``refresh()``, so that a rotation takes effect: tokens of a pair that is not in the
/// source any more are superseded. While the source is broken, the pairs it had last are used.
///
/// A pair that the vendor refused is not sent again for 30 seconds, doubling to ten minutes. If the source has another one, as during a
/// rotation, that is used at once.
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
    private let signer: (any ClientAssertionSigner)?
    private let assertionAudience: String?
    private let clock: C
    private let logger: Logger?
    private let lines: CredentialLines<C.Instant>

    /// - Parameters:
    ///   - vendor: Where to ask, and how.
    ///   - credentials: Asked on every fetch for the profile's id.
    ///   - signer: Needed for a vendor that is asked with `private_key_jwt`.
    ///   - assertionAudience: What such an assertion is for, instead of the URL of the token endpoint.
    ///   - transport: Carries the call.
    ///   - deadline: For the call, queueing included.
    ///   - clock: Measures how long a refusal is remembered.
    ///   - wallClock: Only for absolute times: `expiresAt`, and a `Retry-After` that is a date.
    ///   - logger: For what happens to credentials.
    public init(
        vendor: Vendor, credentials: any CredentialSource, signer: (any ClientAssertionSigner)? = nil,
        assertionAudience: String? = nil, transport: any HTTPTransport,
        deadline: Duration = .seconds(10), clock: C = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger? = nil
    ) {
        self.call = VendorCall(
            vendor: vendor, transport: transport, deadline: deadline, priority: .high, wallClock: wallClock
        )
        self.credentials = credentials
        self.signer = signer
        self.assertionAudience = assertionAudience
        self.clock = clock
        self.logger = logger
        self.lines = CredentialLines()
    }

    /// See ``TokenProvider/token(for:demand:)``; the type tells what is particular.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        var refused: TokenError?
        for (credential, lineage) in lines.usable(of: try await load(), now: clock.now).prefix(2) {
            do throws(TokenError) {
                return try await token(for: request, credential, lineage)
            } catch {
                guard error.code == .credentialsRejected else { throw error }
                lines.refuse(credential, now: clock.now)
                logger?.error("the vendor refused credentials", metadata: ["vendor": "\(call.vendor.profile.id)"])
                refused = error
            }
        }
        throw refused
            ?? TokenError(.credentialsRejected, message: "the vendor refused these credentials a short while ago")
    }

    private func token(
        for request: TokenRequest, _ credential: Credential, _ lineage: Lineage
    ) async throws(TokenError) -> Token {
        var fields: HTTPFields = [
            .contentType: "application/x-www-form-urlencoded", .accept: "application/json",
        ]
        var form = form(for: request)
        try await authenticate(&fields, &form, as: credential)
        let body = form.map { "\($0)=\(formEncoded($1))" }.joined(separator: "&")
        let response = try await call.send(
            call.vendor.request(.post, call.vendor.profile.accessToken.path, fields), body: Array(body.utf8)
        )
        guard response.status.kind == .successful else {
            throw call.error(for: response, outcomes: call.vendor.profile.accessToken.outcomes)
        }
        return try token(in: response, lineage: Lineage(descendingFrom: lineage))
    }

    /// Looks whether the credentials were rotated. To be called every few seconds; it never calls the vendor.
    public func refresh() async {
        if let pairs = try? await load(), lines.update(pairs) {
            logger?.notice("new credentials", metadata: ["vendor": "\(call.vendor.profile.id)"])
        }
    }

    /// See ``ReadinessReporting/readiness()``; never calls the vendor.
    public func readiness() async -> Readiness {
        do {
            let usable = lines.usable(of: try await load(), now: clock.now)
            return usable.isEmpty ? .notReady("credentials_refused") : .ready
        } catch {
            return .notReady("credentials_unavailable")
        }
    }

    /// What the source has; while it is broken, such as a file that is just being written, what it had last.
    private func load() async throws(TokenError) -> [Credential] {
        do {
            let pairs = try await credentials.credentials(for: CredentialID(rawValue: call.vendor.profile.id))
            if !pairs.isEmpty { return pairs }
        } catch {
            if let known = lines.known { return known }
            throw TokenError(.misconfigured, message: "the credentials cannot be used", cause: error)
        }
        if let known = lines.known { return known }
        throw TokenError(.misconfigured, message: "no source has credentials for \(call.vendor.profile.id)")
    }

    /// Adds the proof which client asks, another one for each attempt.
    private func authenticate(
        _ fields: inout HTTPFields, _ form: inout [(String, String)], as credential: Credential
    ) async throws(TokenError) {
        switch call.vendor.clientAuthentication {
        case .clientSecretBasic:
            fields[.authorization] = basicAuthorization(credential)
        case .clientSecretPost:
            form += [
                ("client_id", credential.clientID.reveal()), ("client_secret", credential.clientSecret.reveal()),
            ]
        case .privateKeyJWT:
            form += [
                ("client_id", credential.clientID.reveal()),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", try await assertion(by: credential).reveal()),
            ]
        case .tlsClientAuth:
            form.append(("client_id", credential.clientID.reveal()))
        }
    }

    private func assertion(by credential: Credential) async throws(TokenError) -> Secret {
        guard let signer else {
            throw TokenError(.misconfigured, message: "private_key_jwt needs a signer of client assertions")
        }
        let now = call.wallClock()
        let assertion = ClientAssertion(
            clientID: credential.clientID,
            audience: assertionAudience ?? call.vendor.url(call.vendor.profile.accessToken.path),
            id: randomHex(words: 2), issuedAt: now, expiresAt: now.addingTimeInterval(60)
        )
        do {
            return try await signer.sign(assertion, with: credential)
        } catch {
            throw TokenError(.misconfigured, message: "the client assertion cannot be signed", cause: error)
        }
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

    private func form(for request: TokenRequest) -> [(String, String)] {
        var form = [("grant_type", "client_credentials")]
        if !request.scopes.isEmpty { form.append(("scope", request.scopes.sorted().joined(separator: " "))) }
        if let audience = request.audience { form.append(("audience", audience)) }
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

/// What is remembered of the pairs that the source has: the line of each, and which were refused.
private final class CredentialLines<Instant: InstantProtocol>: Sendable where Instant.Duration == Duration {
    private struct Line {
        var credential: Credential
        var lineage = Lineage()
        var refusals = 0
        var refusedUntil: Instant?
    }

    private let lines = Mutex<[Line]>([])

    /// The pairs that the source had last; `nil` if it never had any.
    var known: [Credential]? {
        let known = lines.withLock { $0.map(\.credential) }
        return known.isEmpty ? nil : known
    }

    /// Takes over what the source has now. The lines of pairs that are gone are superseded.
    /// - Returns: Whether that is a change, other than the first pairs.
    func update(_ credentials: [Credential]) -> Bool { lines.withLock { update(credentials, &$0) } }

    private func update(_ credentials: [Credential], _ lines: inout [Line]) -> Bool {
        guard lines.map(\.credential) != credentials else { return false }
        for line in lines where !credentials.contains(line.credential) { line.lineage.supersede() }
        let former = lines
        lines = credentials.map { credential in
            former.first { $0.credential == credential } ?? Line(credential: credential)
        }
        return !former.isEmpty
    }

    /// Those that were not refused lately, in the source's order.
    func usable(of credentials: [Credential], now: Instant) -> [(Credential, Lineage)] {
        lines.withLock { lines in
            _ = update(credentials, &lines)
            return lines.filter { line in line.refusedUntil.map { $0 <= now } ?? true }
                .map { ($0.credential, $0.lineage) }
        }
    }

    func refuse(_ credential: Credential, now: Instant) {
        lines.withLock { lines in
            // A pair that was replaced meanwhile is none of the new one's fault.
            guard let index = lines.firstIndex(where: { $0.credential == credential }) else { return }
            let pause = min(.seconds(30) * (1 << min(lines[index].refusals, 5)), .seconds(600))
            lines[index].refusals += 1
            lines[index].refusedUntil = now.advanced(by: pause)
            // Tokens it brought may still hold; they are renewed with another pair, if there is one.
            if lines.count > 1 {
                lines[index].lineage.supersede()
                lines[index].lineage = Lineage()
            }
        }
    }
}
