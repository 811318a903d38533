public import FoundationEssentials
public import HTTPTypes
import Synchronization
public import TokenBroker

/// A simulated vendor that misbehaves as scripted, call by call, and records its calls.
///
/// It serves both steps of a `VendorProfile`. Access tokens are opaque texts: `access-1`, `access-2` and so on.
/// Checkout tokens are unsigned JWTs with the claims that the profile names. Where the script issues a token, the
/// issuer still refuses credentials that it does not ``accept(_:)``, and access tokens that it did not issue or has
/// revoked.
///
/// In the same process, the issuer is the transport:
///
/// ```swift
/// let clock = ManualClock()
/// let issuer = MisbehavingIssuer([.throttles(retryAfter: "7"), .answersHTML()], clock: clock)
/// let accessTokens = ClientCredentialsProvider(
///     vendor: vendor, credentials: credentials, transport: issuer, clock: clock)
/// ```
///
/// Over sockets, use a ``MisbehavingServer``, or let your own server do what ``reaction(to:body:)`` returns.
public final class MisbehavingIssuer: HTTPTransport {
    /// What a server does with one call, in terms of HTTP.
    public struct Reaction: Sendable {
        /// The delay before the step.
        public var delay: Duration
        /// What the server does after the delay.
        public var step: Step

        /// What a server does with a connection after it has read a request.
        public enum Step: Sendable {
            /// Sends a complete response.
            case respond(HTTPResponse, [UInt8])
            /// Announces a body of `of` bytes, sends the head and these bytes, and closes the connection.
            case closeWithin(HTTPResponse, [UInt8], of: Int)
            /// Sends the head without a length, and bytes for as long as the client takes them.
            case flood(HTTPResponse)
            /// Sends nothing and keeps the connection open.
            case hang
            /// Sends nothing and closes the connection.
            case close
        }
    }

    /// The step that a call is for.
    public enum Step: Sendable, Hashable {
        case accessToken, checkoutToken
    }

    /// A call that the issuer received.
    public struct Call: Sendable {
        /// The method, the URL and the header fields.
        public var request: HTTPRequest
        /// The request's body.
        public var body: [UInt8]
        /// The step that the call is for.
        public var step: Step
    }

    private struct State {
        var script: [(behaviour: Behaviour, step: Step?)]
        var otherwise: [Step: Behaviour]
        var accepted: [String]
        var calls: [Call] = []
        var accessTokens: Set<String> = []
        var issued = 0
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    /// The credential that is accepted from the beginning: `client` and `secret`.
    public static let credential = Credential(clientID: Secret("client"), clientSecret: Secret("secret"))

    private let profile: VendorProfile
    private let clock: any Clock<Duration>
    private let alarm: Alarm
    private let wallClock: @Sendable () -> Date
    private let state: Mutex<State>

    /// Creates an issuer.
    ///
    /// - Parameters:
    ///   - script: The behaviours for the first calls, in order.
    ///   - otherwise: The behaviour for all further calls.
    ///   - profile: The vendor profile whose paths and members the issuer uses.
    ///   - clock: The clock that measures delays and timeouts when the issuer is the transport.
    ///   - wallClock: The vendor's wall clock, which may differ from yours. It sets the `exp` of checkout tokens and
    ///     the `Date` of responses.
    public init(
        _ script: [Behaviour] = [], otherwise: Behaviour = .issues(), profile: VendorProfile = .alternativePayments,
        clock: some Clock<Duration> = ContinuousClock(), wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.profile = profile
        self.clock = clock
        self.alarm = Alarm(clock)
        self.wallClock = wallClock
        self.state = Mutex(
            State(
                script: script.map { ($0, nil) }, otherwise: [.accessToken: otherwise, .checkoutToken: otherwise],
                accepted: Self.basic([Self.credential])
            )
        )
    }

    // MARK: Script

    /// Appends a behaviour to the script.
    /// - Parameters:
    ///   - behaviour: The behaviour for one call.
    ///   - step: The step whose next call gets it; `nil` for either step.
    public func then(_ behaviour: Behaviour, at step: Step? = nil) {
        state.withLock { $0.script.append((behaviour, step)) }
    }

    /// Sets the behaviour for calls that the script does not cover.
    /// - Parameters:
    ///   - behaviour: The behaviour for these calls.
    ///   - step: The step whose calls get it; `nil` for both steps.
    public func otherwise(_ behaviour: Behaviour, at step: Step? = nil) {
        state.withLock { state in
            for covered in step.map({ [$0] }) ?? [.accessToken, .checkoutToken] { state.otherwise[covered] = behaviour }
        }
    }

    /// Accepts only these credentials from now on, as after a rotation.
    public func accept(_ credentials: [Credential]) {
        state.withLock { $0.accepted = Self.basic(credentials) }
    }

    /// Refuses all access tokens that were issued so far, as a vendor does that revokes them before they expire.
    public func revokeAccessTokens() { state.withLock { $0.accessTokens = [] } }

    /// Returns a new access token, without a call.
    public func accessToken() -> String {
        state.withLock { state in
            state.issued += 1
            state.accessTokens.insert("access-\(state.issued)")
            return "access-\(state.issued)"
        }
    }

    // MARK: Calls

    /// The calls received so far, in order.
    public var calls: [Call] { state.withLock { $0.calls } }
    /// The number of calls for access tokens.
    public var accessTokenCalls: Int { state.withLock { $0.calls.count { $0.step == .accessToken } } }
    /// The number of calls for checkout tokens.
    public var checkoutTokenCalls: Int { state.withLock { $0.calls.count { $0.step == .checkoutToken } } }

    /// Waits until the issuer has received at least `count` calls in all.
    public func called(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.calls.count >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    // MARK: Responses

    /// Records a call and returns the reaction to it, for your own server.
    public func reaction(to request: HTTPRequest, body: [UInt8]) -> Reaction {
        let callStep = request.path == profile.accessToken.path ? Step.accessToken : .checkoutToken
        let (behaviour, watchers) = state.withLock { state in
            state.calls.append(Call(request: request, body: body, step: callStep))
            let count = state.calls.count
            let watchers = state.watchers.filter { $0.count <= count }
            state.watchers.removeAll { $0.count <= count }
            let index = state.script.firstIndex { $0.step == nil || $0.step == callStep }
            let scripted = index.map { state.script.remove(at: $0).behaviour }
            return (scripted ?? state.otherwise[callStep] ?? .issues(), watchers)
        }
        for watcher in watchers { watcher.continuation.resume() }
        let step: Reaction.Step
        switch behaviour.content {
        case .fixed(let fixed): step = fixed
        case .tokens(let lifetime, let type):
            let response =
                callStep == .accessToken
                ? accessToken(request, lifetime: lifetime, type: type)
                : checkoutToken(request, body, lifetime: lifetime.flatMap(Double.init))
            step = .respond(response.head, response.body)
        }
        return Reaction(delay: behaviour.delay, step: dated(step))
    }

    /// Returns a step whose response has a `Date` from the vendor's clock, unless it already has one.
    private func dated(_ step: Reaction.Step) -> Reaction.Step {
        func dated(_ head: HTTPResponse) -> HTTPResponse {
            var head = head
            if !head.headerFields.contains(.date) { head.headerFields[.date] = httpDateText(wallClock()) }
            return head
        }
        return switch step {
        case .respond(let head, let body): .respond(dated(head), body)
        case .closeWithin(let head, let body, let count): .closeWithin(dated(head), body, of: count)
        case .flood(let head): .flood(dated(head))
        case .hang, .close: step
        }
    }

    /// Records a call and reacts to it as scripted.
    ///
    /// - Throws: `TransportError` if there is no complete response.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let transport = InMemoryTransport(clock: clock) { [self] request, body in
            let start = alarm.now
            let reaction = reaction(to: request, body: body)
            if reaction.delay > .zero { try await clock.sleep(for: reaction.delay) }
            switch reaction.step {
            case .respond(let head, let body):
                return TransportResponse(head: head, body: body, elapsed: alarm.now - start)
            case .closeWithin, .close: throw TransportError(.closed, message: "the connection was closed")
            case .flood: throw TransportError(.tooLarge, message: "the response body does not end")
            case .hang: while true { try await clock.sleep(for: .seconds(3600)) }
            }
        }
        return try await transport.send(request, body: body, options: options)
    }

    private func accessToken(_ request: HTTPRequest, lifetime: String?, type: String?) -> TransportResponse {
        let isAccepted = state.withLock { $0.accepted.contains(request.headerFields[.authorization] ?? "") }
        guard isAccepted else { return refusal(.forbidden) }
        let token = accessToken()
        var members = [#""access_token": "\#(token)""#]
        if let lifetime { members.append(#""expires_in": \#(lifetime)"#) }
        if let type { members.append(#""token_type": "\#(type)""#) }
        return json("{\(members.joined(separator: ", "))}")
    }

    private func checkoutToken(_ request: HTTPRequest, _ body: [UInt8], lifetime: Double?) -> TransportResponse {
        let step = profile.checkoutToken
        guard step.paths.contains(request.path ?? "") else {
            return TransportResponse(head: HTTPResponse(status: .notFound), body: Array("404 page not found".utf8))
        }
        let bearer = request.headerFields[.authorization] ?? ""
        let (isKnown, number) = state.withLock { state in
            state.issued += 1
            return (
                bearer.hasPrefix("Bearer ") && state.accessTokens.contains(String(bearer.dropFirst(7))), state.issued
            )
        }
        guard isKnown else { return refusal(.unauthorized) }
        guard let asked = try? JSONValue.parse(body), let tokenMember = step.tokenMembers.first else {
            return refusal(.badRequest)
        }
        var claims: [ExactString: JSONValue] = ["jti": .string("checkout-\(number)")]
        for (input, member) in step.bodyMembers {
            if let claim = step.claims[input] { claims[ExactString(claim)] = asked[member] }
        }
        if let lifetime {
            claims["exp"] = .number((wallClock().timeIntervalSince1970 + lifetime).rounded(.up))
        }
        let token = UnverifiedJWT.text(claims: claims, signature: "signature-\(number)")
        return json(String(decoding: JSONValue.object([tokenMember: .string(token)]).serialized, as: UTF8.self))
    }

    private func json(_ text: String) -> TransportResponse {
        TransportResponse(
            head: HTTPResponse(status: .ok, headerFields: [.contentType: "application/json"]), body: Array(text.utf8)
        )
    }

    private func refusal(_ status: HTTPResponse.Status) -> TransportResponse {
        TransportResponse(
            head: HTTPResponse(status: status, headerFields: [.contentType: "application/json"]),
            body: Array(#"{"code": "refused", "message": "the vendor's own words"}"#.utf8)
        )
    }

    /// Returns the accepted values of `Authorization`, both with plain and with form-encoded credentials.
    private static func basic(_ credentials: [Credential]) -> [String] {
        credentials.flatMap { credential in
            let (id, secret) = (credential.clientID.reveal(), credential.clientSecret.reveal())
            return ["\(id):\(secret)", "\(formEncoded(id)):\(formEncoded(secret))"].map {
                "Basic " + Data($0.utf8).base64EncodedString()
            }
        }
    }
}

extension UnverifiedJWT {
    /// Returns a token with these claims and a worthless signature.
    package static func text(claims: [ExactString: JSONValue], signature: String = "unsigned") -> String {
        func part(_ bytes: [UInt8]) -> String {
            Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                .replacing("=", with: "")
        }
        return "\(part(Array(#"{"alg":"none"}"#.utf8))).\(part(JSONValue.object(claims).serialized)).\(signature)"
    }
}
