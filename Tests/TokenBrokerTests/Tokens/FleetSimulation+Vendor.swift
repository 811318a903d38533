import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import TokenBrokerTesting

@testable import TokenBroker

/// The vendor of a simulated fleet, with what it promises and what it expects of the fleet.
///
/// Most calls travel for 20 to 30 ms, and some for up to 200 ms. They succeed, are throttled, fail or break off,
/// depending on the vendor's ``Mood``. While the fleet is calm, the vendor notes every call that a fleet should not
/// make.
final class FleetVendor: Sendable {
    enum Mood: Sendable {
        case healthy, failing, dropping
        case throttling(retryAfter: Int)
    }

    struct Issued {
        /// What the token is for; see ``FleetVendor/key(_:_:_:)``.
        var key: String
        /// The number of the client secret that the token descends from.
        var generation: Int
        var end: Duration
        var life: Duration
        /// When the response that contains the token had arrived; `nil` if it never did.
        var delivered: Duration?
        /// Whether the vendor or a caller has refused the token.
        var isRefused = false
    }

    struct State {
        var random: SeededGenerator
        var mood = Mood.healthy
        /// The number of the secret that the processes have. Tokens of an older one are no longer shared.
        var generation = 0
        var issued: [String: Issued] = [:]
        /// The token that was delivered last, by key.
        var newest: [String: String] = [:]
        /// The calls that are under way, by key.
        var flights: [String: Int] = [:]
        var arrivals: [Duration] = []
        var mostArrivals = 0
        var calls = 0
        var callsByProcess: [Int: Int] = [:]
        /// Until when no call may arrive, because the vendor has said so to somebody, and since when that is known.
        var coolDown: (known: Duration, end: Duration)?
        /// Since when nothing has disturbed the fleet; `nil` while something does.
        var calmSince: Duration?
        var complaint: String?
    }

    /// How long a disturbance may have consequences.
    static let aftermath = Duration.seconds(45)

    let clock: ManualClock
    let state: Mutex<State>

    init(clock: ManualClock, seed: UInt64) {
        self.clock = clock
        state = Mutex(State(random: SeededGenerator(seed: seed ^ 0x5eed)))
    }

    var now: Duration { clock.now.offset }

    /// Returns the secret with a number.
    static func credential(_ generation: Int) -> Credential {
        Credential(clientID: Secret("client"), clientSecret: Secret("secret-\(generation)"))
    }

    private static func authorization(_ generation: Int) -> String {
        "Basic " + Data("client:secret-\(generation)".utf8).base64EncodedString()
    }

    // MARK: Calls

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions, by process: Int
    ) async throws(TransportError) -> TransportResponse {
        let start = now
        let asked = state.withLock { begin(request, body, by: process, &$0) }
        defer { state.withLock { $0.flights[asked.key, default: 1] -= 1 } }
        try await pass(asked.travel, of: options.timeout)
        let answer = state.withLock { arrive(asked, &$0) }
        try await pass(asked.way, of: options.timeout - asked.travel)
        guard var answer else { throw TransportError(.closed, message: "the connection was closed") }
        answer.response.elapsed = now - start
        state.withLock { deliver(answer, &$0) }
        return answer.response
    }

    /// Waits, but not beyond the timeout.
    private func pass(_ time: Duration, of timeout: Duration) async throws(TransportError) {
        do {
            try await clock.sleep(for: min(time, timeout))
        } catch {
            throw TransportError(.cancelled, message: "the call was cancelled")
        }
        if time > timeout { throw TransportError(.timedOut, message: "the call took too long") }
    }

    private struct Call {
        var key: String
        var generation: Int?
        var accessToken: String?
        var inputs: JSONValue?
        /// How long the request travels, and the response after it.
        var travel: Duration
        var way: Duration
    }

    private struct Answer {
        var response: TransportResponse
        var token: String?
        var retryAfter: Duration?
    }

    private func begin(
        _ request: HTTPRequest, _ body: [UInt8], by process: Int, _ state: inout State
    ) -> Call {
        let authorization = request.headerFields[.authorization] ?? ""
        var call = Call(
            key: "", travel: .milliseconds(Int.random(in: 20...30, using: &state.random)),
            way: .milliseconds(Int.random(in: 0...5, using: &state.random)))
        // Some calls take longer, but not before the process has learnt how fast the vendor is.
        state.callsByProcess[process, default: 0] += 1
        if state.callsByProcess[process, default: 0] > 5 {
            switch Int.random(in: 0..<6, using: &state.random) {
            case 0: call.travel = .milliseconds(Int.random(in: 20...200, using: &state.random))
            case 1..<4: call.way = .milliseconds(Int.random(in: 0...1_500, using: &state.random))
            default: break
            }
        }
        if request.path == "/oauth/token" {
            call.generation = (0...20).first { Self.authorization($0) == authorization }
            call.key = "access token \(call.generation ?? -1)"
        } else {
            call.accessToken = String(authorization.dropFirst("Bearer ".count))
            call.generation = call.accessToken.flatMap { state.issued[$0]?.generation }
            call.inputs = try? JSONValue.parse(body)
            call.key = "\(call.inputs?["invoice_id"]?.string?.unicode ?? "") \(call.generation ?? -1)"
        }
        if isCalm(state) {
            note(state.flights[call.key, default: 0] == 0, "one call at a time in the fleet: \(call.key)", &state)
            if call.generation == state.generation, let text = state.newest[call.key], let token = state.issued[text],
                let delivered = token.delivered,
                let calm = state.calmSince, delivered - calm > Self.aftermath, now - delivered > .seconds(2),
                !token.isRefused
            {
                // A renewal is due when 36 % of the life are left, or a little before a caller's demand of a minute is
                // not met.
                let left = token.end - now
                let isDue = left < token.life * 0.36 + .seconds(1) || left < .seconds(62) + token.life / 10
                note(isDue, "no call for \(call.key) while the fleet has \(token)", &state)
            }
        }
        state.flights[call.key, default: 0] += 1
        return call
    }

    private func arrive(_ call: Call, _ state: inout State) -> Answer? {
        let now = now
        state.calls += 1
        state.arrivals.removeAll { $0 + .seconds(1) <= now }
        state.arrivals.append(now)
        state.mostArrivals = max(state.mostArrivals, state.arrivals.count)
        if isCalm(state), let coolDown = state.coolDown, coolDown.known + .milliseconds(500) < now {
            note(now >= coolDown.end, "no call while the vendor asks for a pause", &state)
        }
        switch state.mood {
        case .healthy: break
        case .failing: return Answer(response: Self.refusal(.serviceUnavailable))
        case .dropping: return nil
        case .throttling(let seconds):
            var answer = Answer(response: Self.refusal(.tooManyRequests), retryAfter: .seconds(seconds))
            answer.response.head.headerFields[.retryAfter] = "\(seconds)"
            return answer
        }
        if let accessToken = call.accessToken {
            guard let known = state.issued[accessToken], !known.isRefused, known.end > now else {
                return Answer(response: Self.refusal(.unauthorized))
            }
        } else if call.generation == nil {
            return Answer(response: Self.refusal(.forbidden))
        }
        let life = [3600, 900, 200, 20].randomElement(using: &state.random) ?? 3600
        let number = state.issued.count
        var text = "access-\(number)"
        var members: [String: JSONValue] = ["expires_in": .number(life)]
        if let inputs = call.inputs {
            let issuedAt = Int(clock.date.timeIntervalSince1970)
            text = UnverifiedJWT.text(claims: [
                "jti": .number(number), "iat": .number(issuedAt), "exp": .number(issuedAt + life),
                "customer_id": inputs["customer_id"] ?? .null, "invoice_id": inputs["invoice_id"] ?? .null,
            ])
            members = ["token": .string(text)]
        } else {
            members["access_token"] = .string(text)
        }
        state.issued[text] = Issued(
            key: call.key, generation: call.generation ?? 0, end: now + .seconds(life), life: .seconds(life))
        let response = TransportResponse(
            head: HTTPResponse(status: .ok, headerFields: [.contentType: "application/json"]),
            body: JSONValue.object(members).serialized)
        return Answer(response: response, token: text)
    }

    private func deliver(_ answer: Answer, _ state: inout State) {
        if let token = answer.token, let key = state.issued[token]?.key {
            state.issued[token]?.delivered = now
            state.newest[key] = token
        }
        if let pause = answer.retryAfter {
            state.coolDown = (now, max(state.coolDown?.end ?? .zero, now + pause))
        }
    }

    private static func refusal(_ status: HTTPResponse.Status) -> TransportResponse {
        TransportResponse(
            head: HTTPResponse(status: status, headerFields: [.contentType: "application/json"]),
            body: Array(#"{"code": "refused", "message": "the vendor's own words"}"#.utf8))
    }

    // MARK: Judgement

    private func isCalm(_ state: State) -> Bool { state.calmSince.map { now - $0 >= Self.aftermath } ?? false }

    private func note(_ isRight: Bool, _ promise: String, _ state: inout State) {
        if !isRight, state.complaint == nil { state.complaint = "\(promise), at \(now)" }
    }

    /// Whether the fleet has been undisturbed for so long that only its promises count.
    var isCalm: Bool { state.withLock { isCalm($0) } }

    /// Refuses an access token from now on, as a vendor does that revokes it.
    func refuse(_ token: String) { state.withLock { $0.issued[token]?.isRefused = true } }
}

/// The connection of one process to the vendor.
struct FleetLink: HTTPTransport {
    let vendor: FleetVendor
    let process: Int

    func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        try await vendor.send(request, body: body, options: options, by: process)
    }
}
