public import FoundationEssentials
import HTTPTypes
public import Logging
import Metrics

/// Step 1: requests an access token for a client that authenticates as ``VendorProfile/ClientAuthentication`` says (RFC
/// 6749, section 4.4).
///
/// The provider reads the credential source on every fetch and in ``refresh()``, so that a rotation takes effect:
/// tokens of a credential that is no longer in the source are superseded. While the source is broken, the last known
/// credentials are used.
///
/// A credential that the vendor refused is not sent again for 30 seconds, doubling up to ten minutes. The same holds
/// for a request that the vendor refused to a credential for good, such as one for an unknown scope. If the source has
/// another credential, as during a rotation, that one is used at once. Only a refusal in the vendor's own words counts:
/// an error body of one of the shapes that the profile names, or an error as in RFC 6749 (section 5.2), whose code then
/// overrides the status of a 4xx. Any other 4xx is a block page of something in front of the vendor, and is
/// ``TokenError/Code/unavailable``.
///
/// The response's `expires_in` counts from the sending of the request. It is read as follows:
/// - A number, or a number in a string, with or without a fraction: seconds.
/// - 1,000,000 or more: milliseconds, because no access token lives that many seconds and the shorter reading is the
///   safe one.
/// - More than a day: a day.
/// - Zero or negative: the token has expired on arrival, which is ``TokenError/Code/unavailable``.
/// - Absent, null or anything else: the profile's ``VendorProfile/assumedLifetime``.
public struct ClientCredentialsProvider: TokenProvider, LineReporting, HealthReporting {
    private let step: VendorStep
    private let credentials: any CredentialSource
    private let assertions: ClientAssertions?
    private let lines: CredentialLines
    private let refused: Meter

    /// Creates a provider for step 1.
    ///
    /// - Parameters:
    ///   - vendor: The vendor, with its profile and address.
    ///   - credentials: The source of the credentials, read on every fetch.
    ///   - assertions: The signer of client assertions. Required for `private_key_jwt`.
    ///   - transport: The transport for the calls.
    ///   - timeout: The timeout of each call, including time in a queue.
    ///   - clock: The clock that measures timeouts and how long a refusal is remembered.
    ///   - wallClock: The clock for absolute times only: `expiresAt`, client assertions, and a `Retry-After` date if
    ///     the response does not tell the vendor's time.
    ///   - logger: Logs changes and refusals of credentials, obstacles on the way to the vendor, and clocks that
    ///     differ.
    public init(
        vendor: Vendor, credentials: any CredentialSource, assertions: ClientAssertions? = nil,
        transport: any HTTPTransport,
        timeout: Duration = .seconds(10), clock: some Clock<Duration> = ContinuousClock(),
        wallClock: @escaping @Sendable () -> Date = { Date() }, logger: Logger? = nil
    ) {
        let rules = vendor.profile.accessToken
        self.step = VendorStep(
            "access_token", .init(paths: [rules.path], outcomes: rules.outcomes, isIssuer: true), vendor: vendor,
            transport: transport, timeout: timeout, priority: .high, clock: clock, wallClock: wallClock, logger: logger
        )
        self.credentials = credentials
        self.assertions = assertions
        self.lines = CredentialLines()
        self.refused = Meter(.credentialsRefused, [("account", vendor.profile.id)])
        refused.set(0)
    }

    /// The name of the step, `access_token`.
    public var part: String { step.telemetry.step }
    /// The id of the vendor's profile.
    public var account: String { step.telemetry.account }

    /// Returns a new access token, requested with up to two credentials in the source's order of preference.
    public func token(for request: TokenRequest, demand: TokenDemand) async throws(TokenError) -> Token {
        let end = step.end(within: demand.timeout)
        let usable = lines.usable(for: request, of: try await load(), now: step.stopwatch.now)
        if usable.isEmpty, let refusal = lines.refusal(of: request, now: step.stopwatch.now) { throw refusal }
        return try await step.telemetry.fetch { () throws(TokenError) in
            var refusal: TokenError?
            for (credential, lineage) in usable.prefix(2) {
                do throws(TokenError) {
                    let token = try await token(for: request, credential, lineage, before: end)
                    if lines.accept(credential, for: request) { showRefusals() }
                    return token
                } catch {
                    guard error.code == .credentialsRejected else { throw error }
                    logRefusal(of: credential)
                    showRefusals()
                    refusal = error
                }
            }
            throw refusal ?? TokenError(.credentialsRejected, message: "the vendor refuses these credentials")
        }
    }

    /// Returns the line of the first credential in the source that is not refused.
    public func line(for request: TokenRequest) async -> CredentialLine? {
        guard let credentials = try? await load() else { return nil }
        return lines.usable(for: request, of: credentials, now: step.stopwatch.now).first
            .map { CredentialLine(credential: $0, lineage: $1) }
    }

    /// Returns the line that begins with this member.
    public func line(from start: Lineage) -> CredentialLine? {
        lines.credential(from: start).map { CredentialLine(credential: $0, lineage: start) }
    }

    private func token(
        for request: TokenRequest, _ credential: Credential, _ lineage: Lineage, before end: Duration?
    ) async throws(TokenError) -> Token {
        let difference = step.vendor.clock.difference
        var answer = try await ask(for: request, as: credential, before: end)
        if case .failure(let error) = answer.content, error.code == .credentialsRejected,
            step.vendor.clientAuthentication == .privateKeyJWT, abs(step.vendor.clock.difference - difference) > 10
        {
            // The assertion was signed for a different time than the vendor's, which is known now.
            answer = try await ask(for: request, as: credential, before: end)
        }
        switch answer.content {
        case .success(let body):
            return try token(in: body, answer.response, lineage: Lineage(descendingFrom: lineage))
        case .failure(var error):
            // Without the right certificate, a proxy in front of the vendor answers 400, and the vendor itself 401.
            if [400, 401, 403].contains(answer.response.status.code) { error = missingCertificate(error) }
            if error.code == .credentialsRejected || error.code == .misconfigured {
                lines.refuse(credential, for: request, error, now: step.stopwatch.now)
            }
            throw error
        }
    }

    private func ask(
        for request: TokenRequest, as credential: Credential, before end: Duration?
    ) async throws(TokenError) -> VendorStep.Answer {
        var made = VendorStep.Request(
            fields: [.contentType: "application/x-www-form-urlencoded", .accept: "application/json"])
        var form = form(for: request)
        try await authenticate(&made.fields, &form, as: credential)
        made.body = Array(form.map { "\($0)=\(formEncoded($1))" }.joined(separator: "&").utf8)
        do throws(TokenError) {
            return try await step.execute(made, before: end)
        } catch {
            let code = (error.cause as? TransportError)?.code
            // In TLS 1.3, the alert arrives when the client already considers itself connected.
            throw code == .tls || code == .closed ? missingCertificate(error) : error
        }
    }

    /// Logs a refusal, with a hint at another possible cause: whether the server decodes the id and the secret.
    private func logRefusal(of credential: Credential) {
        var metadata: Logger.Metadata = ["account": "\(account)"]
        let halves = [credential.clientID.reveal(), credential.clientSecret.reveal()]
        if step.vendor.clientAuthentication == .clientSecretBasic,
            halves.contains(where: { ExactString(formEncoded($0)) != $0 })
        {
            metadata["hint"] =
                switch step.vendor.basicEncoding {
                case .form:
                    """
                    the id or the secret has a character that form encoding changes; if the vendor does not decode it, \
                    set `vendor.basicEncoding: raw`
                    """
                case .raw:
                    """
                    the id or the secret has a character that form encoding changes; if the vendor expects it encoded, \
                    set `vendor.basicEncoding: form`
                    """
                }
        }
        step.logger?.error("the vendor refused credentials", metadata: metadata)
    }

    /// Mentions another possible cause with `tls_client_auth`.
    private func missingCertificate(_ error: TokenError) -> TokenError {
        guard step.vendor.clientAuthentication == .tlsClientAuth else { return error }
        var error = error
        error.message += "; the client certificate may be missing or wrong"
        return error
    }

    /// Checks whether the credentials were rotated. Call it every few seconds.
    ///
    /// The method calls the vendor only if all credentials are refused and the next attempt is due. ``health()``
    /// therefore recovers even if nobody requests a token.
    public func refresh() async {
        guard let pairs = try? await load() else { return }
        if lines.update(pairs) {
            step.logger?.notice("new credentials", metadata: ["account": "\(account)"])
            showRefusals()
        }
        if let request = lines.probe(now: step.stopwatch.now) {
            _ = try? await token(for: request, demand: TokenDemand(timeout: step.timeout))
        }
    }

    /// Shows in the metrics which credentials the vendor refuses.
    private func showRefusals() {
        refused.set(lines.refusedCount)
        step.telemetry.setBreaker(open: lines.areAllRefused)
    }

    /// Returns whether the credentials can be loaded and are accepted, as far as is known. Never calls the vendor.
    public func health() async -> Health {
        do {
            _ = lines.update(try await load())
        } catch {
            return step.telemetry.health(.credentialsUnavailable)
        }
        return step.telemetry.health(lines.areAllRefused ? .credentialsRefused : step.isBlocked ? .blocked : nil)
    }

    /// Returns the source's credentials, or the last known ones while the source is broken, such as while a file is
    /// being written.
    private func load() async throws(TokenError) -> [Credential] {
        do {
            let pairs = try await credentials.credentials(for: step.vendor.account)
            if !pairs.isEmpty { return pairs }
        } catch {
            if let known = lines.known { return known }
            throw TokenError(.misconfigured, message: "the credentials cannot be used", cause: error)
        }
        if let known = lines.known { return known }
        throw .noCredentials(for: step.vendor.account, in: credentials)
    }

    /// Adds the client's authentication, with a new proof for each attempt.
    private func authenticate(
        _ fields: inout HTTPFields, _ form: inout [(String, String)], as credential: Credential
    ) async throws(TokenError) {
        switch step.vendor.clientAuthentication {
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
        guard let assertions else {
            throw TokenError(.misconfigured, message: "private_key_jwt needs a signer of client assertions")
        }
        // The vendor checks the assertion by its own clock.
        let now = step.wallClock().addingTimeInterval(step.vendor.clock.difference)
        let assertion = ClientAssertion(
            clientID: credential.clientID,
            audience: assertions.audience ?? step.vendor.url(step.vendor.profile.accessToken.path),
            id: randomHex(words: 2), issuedAt: now, expiresAt: now.addingTimeInterval(60)
        )
        do {
            return try await assertions.signer.sign(assertion, with: credential)
        } catch {
            throw TokenError(.misconfigured, message: "the client assertion cannot be signed", cause: error)
        }
    }

    private func basicAuthorization(_ credential: Credential) -> String {
        let (id, secret) = (credential.clientID.reveal(), credential.clientSecret.reveal())
        let pair =
            switch step.vendor.basicEncoding {
            case .form: "\(formEncoded(id)):\(formEncoded(secret))"
            case .raw: "\(id):\(secret)"
            }
        return "Basic " + Data(pair.utf8).base64EncodedString()
    }

    private func form(for request: TokenRequest) -> [(String, String)] {
        var form = [("grant_type", "client_credentials")]
        if !request.scopes.isEmpty {
            form.append(("scope", request.scopes.sorted().map(\.unicode).joined(separator: " ")))
        }
        if let audience = request.audience { form.append(("audience", audience.unicode)) }
        return form
    }

    private func token(
        in body: JSONValue, _ response: TransportResponse, lineage: Lineage
    ) throws(TokenError) -> Token {
        if let error = body["error"], !error.isNothing {
            throw TokenError(.unavailable, message: "the vendor answered 200 with an error")
        }
        guard let text = body["access_token"]?.string, !text.isEmpty else {
            throw TokenError(.unavailable, message: "the vendor's response has no access_token")
        }
        let type = body["token_type"] ?? .null
        guard type.isNothing || type.string?.unicode.trimmingWhiteSpace.lowercased() == "bearer" else {
            throw TokenError(.unavailable, message: "the vendor's response has an unknown token_type")
        }
        let remaining = lifetime(body["expires_in"]) - response.elapsed
        guard remaining > .zero else {
            throw TokenError(.unavailable, message: "the vendor issued an access token that has already expired")
        }
        var token = Token(
            secret: Secret(text.unicode), remaining: remaining,
            expiresAt: step.wallClock().addingTimeInterval(remaining / .seconds(1)), lineage: lineage
        )
        token.isFresh = true
        return token
    }

    private func lifetime(_ value: JSONValue?) -> Duration {
        guard let seconds = value?.number ?? value?.string.flatMap({ Double($0.unicode) }), seconds.isFinite else {
            return step.vendor.profile.assumedLifetime
        }
        let plausible = seconds >= 1_000_000 ? seconds / 1000 : seconds
        return .seconds(min(max(plausible, 0), 86_400))
    }
}

extension JSONValue {
    /// Whether the value is empty: null, false, zero, or a string, array or object without content.
    fileprivate var isNothing: Bool {
        switch self {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        default: string.map { $0.unicode.trimmingWhiteSpace.isEmpty } ?? (number == 0)
        }
    }
}
