public import FoundationEssentials
public import HTTPTypes
import Synchronization
public import TokenBroker

/// A vendor that misbehaves as it is told, call by call, and remembers what it was asked.
///
/// It answers at both steps of a ``VendorProfile``: with opaque access tokens, `access-1`, `access-2` …, and with checkout tokens that
/// are unsigned JWTs with the claims that the profile names. Well-behaved it refuses client secrets other than those it
/// ``accept(_:)``s, and access tokens that it did not issue or that were revoked.
///
/// In process it is the transport itself:
///
/// ```swift
/// let clock = ManualClock()
/// let issuer = MisbehavingIssuer([.throttles(retryAfter: "7"), .answersHTML()], clock: clock)
/// let accessTokens = ClientCredentialsProvider(vendor: vendor, credentials: credentials, transport: issuer, clock: clock)
/// ```
///
/// Over sockets a server of yours does what ``reaction(to:body:)`` says.
public final class MisbehavingIssuer: HTTPTransport {
    /// What is to happen with one call, in terms of HTTP.
    public struct Reaction: Sendable {
        /// How long nothing happens before.
        public var delay: Duration
        /// What happens then.
        public var step: Step

        /// In terms of HTTP.
        public enum Step: Sendable {
            /// A complete response.
            case respond(HTTPResponse, [UInt8])
            /// The head, `of` bytes announced, these sent, and the connection closed.
            case closeWithin(HTTPResponse, [UInt8], of: Int)
            /// The head, no length, and bytes for as long as somebody takes them.
            case flood(HTTPResponse)
            /// Nothing, and the connection stays open.
            case hang
            /// Nothing, and the connection is closed.
            case close
        }
    }

    /// What a call is for.
    public enum Step: Sendable, Hashable {
        case accessToken, checkoutToken
    }

    /// One call as it came in.
    public struct Call: Sendable {
        /// Method, address and header fields.
        public var request: HTTPRequest
        /// The content.
        public var body: [UInt8]
        /// What it was for.
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

    /// A pair that is accepted from the beginning: `client` and `secret`.
    public static let credential = Credential(clientID: Secret("client"), clientSecret: Secret("secret"))

    private let profile: VendorProfile
    private let clock: any Clock<Duration>
    private let alarm: Alarm
    private let wallClock: @Sendable () -> Date
    private let state: Mutex<State>

    /// - Parameters:
    ///   - script: The first call gets the first.
    ///   - otherwise: What further calls get.
    ///   - profile: Whose paths and members it has.
    ///   - clock: For what is slow, and for timeouts in process.
    ///   - wallClock: For the `exp` of checkout tokens and the `Date` of answers: the vendor's clock, which need not be yours.
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

    // MARK: Telling it what to do

    /// Appends to the script: for the next call, or the next one at that step.
    public func then(_ behaviour: Behaviour, at step: Step? = nil) {
        state.withLock { $0.script.append((behaviour, step)) }
    }

    /// What calls get that the script does not cover, from now on; at one step or both.
    public func otherwise(_ behaviour: Behaviour, at step: Step? = nil) {
        state.withLock { state in
            for covered in step.map({ [$0] }) ?? [.accessToken, .checkoutToken] { state.otherwise[covered] = behaviour }
        }
    }

    /// Which pairs are accepted from now on, and no others: a rotated secret.
    public func accept(_ credentials: [Credential]) {
        state.withLock { $0.accepted = Self.basic(credentials) }
    }

    /// Refuses all access tokens that were issued so far, as a vendor does that revokes them before their time.
    public func revokeAccessTokens() { state.withLock { $0.accessTokens = [] } }

    /// An access token that it takes, without a call.
    public func accessToken() -> String {
        state.withLock { state in
            state.issued += 1
            state.accessTokens.insert("access-\(state.issued)")
            return "access-\(state.issued)"
        }
    }

    // MARK: Looking at it

    /// What came in, in order.
    public var calls: [Call] { state.withLock { $0.calls } }
    /// How many calls there were for access tokens.
    public var accessTokenCalls: Int { state.withLock { $0.calls.count { $0.step == .accessToken } } }
    /// How many calls there were for checkout tokens.
    public var checkoutTokenCalls: Int { state.withLock { $0.calls.count { $0.step == .checkoutToken } } }

    /// Waits until there were at least `count` calls in all.
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

    // MARK: Answering

    /// Counts a call, and says what is to happen with it. For a server of your own.
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

    /// With the time by the vendor's clock.
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

    /// See ``HTTPTransport/send(_:body:options:)``.
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

    /// What the `Authorization` field may hold, in either encoding.
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
    /// A token with these claims and without a signature that is worth anything.
    package static func text(claims: [ExactString: JSONValue], signature: String = "unsigned") -> String {
        func part(_ bytes: [UInt8]) -> String {
            Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                .replacing("=", with: "")
        }
        return "\(part(Array(#"{"alg":"none"}"#.utf8))).\(part(JSONValue.object(claims).serialized)).\(signature)"
    }
}
