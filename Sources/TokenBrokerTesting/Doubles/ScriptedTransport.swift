public import HTTPTypes
import Synchronization
public import TokenBroker

/// A transport that follows a script: the n-th request gets the n-th step. It records the requests.
///
/// A request beyond the end of the script fails with `TransportError/Code/other`. It is recorded like the others.
public final class ScriptedTransport: HTTPTransport {
    /// The outcome of one request.
    public struct Step: Sendable {
        fileprivate let run: @Sendable (any Clock<Duration>) async throws -> TransportResponse

        /// A step that responds with this status, header fields and body.
        ///
        /// `elapsed` is the elapsed time that the response reports.
        public static func respond(
            _ status: HTTPResponse.Status = .ok, headerFields: HTTPFields = [:], _ body: String = "",
            elapsed: Duration = .zero
        ) -> Step {
            Step { _ in
                TransportResponse(
                    head: HTTPResponse(status: status, headerFields: headerFields), body: Array(body.utf8),
                    elapsed: elapsed
                )
            }
        }

        /// A step that throws an error with this code.
        public static func fail(_ code: TransportError.Code) -> Step {
            Step { _ in throw TransportError(code, message: "as scripted") }
        }

        /// A step that never responds. The call ends with its timeout or with cancellation.
        public static let hang = Step { clock -> TransportResponse in
            while true { try await clock.sleep(for: .seconds(3600)) }
        }

        /// A step that waits for `duration` on the transport's clock, then runs another step.
        public static func after(_ duration: Duration, _ step: Step) -> Step {
            Step { clock in
                try await clock.sleep(for: duration)
                return try await step.run(clock)
            }
        }
    }

    /// A request that the transport received.
    public struct Sent: Sendable {
        /// The method, the URL and the header fields.
        public var request: HTTPRequest
        /// The request's body.
        public var body: [UInt8]
        /// The options of the call.
        public var options: TransportOptions
    }

    private let clock: any Clock<Duration>
    private let state: Mutex<(steps: [Step], sent: [Sent])>

    /// Creates a transport.
    ///
    /// - Parameters:
    ///   - steps: The outcomes of the first requests, in order.
    ///   - clock: The clock that measures timeouts and delays.
    public init(_ steps: [Step], clock: some Clock<Duration> = ContinuousClock()) {
        self.clock = clock
        self.state = Mutex((steps, []))
    }

    /// The requests received so far, in order.
    public var sent: [Sent] { state.withLock { $0.sent } }
    /// The number of steps left in the script.
    public var remainingSteps: Int { state.withLock { $0.steps.count } }
    /// Appends a step to the script.
    public func then(_ step: Step) { state.withLock { $0.steps.append(step) } }

    /// Runs the next step of the script.
    ///
    /// - Throws: `TransportError` if the step fails, the call's timeout expires or the script has no more steps.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let step = state.withLock { state in
            state.sent.append(Sent(request: request, body: body, options: options))
            return state.steps.isEmpty ? nil : state.steps.removeFirst()
        }
        let clock = clock
        let transport = InMemoryTransport(clock: clock) { _, _ in
            guard let step else { throw TransportError(.other, message: "the script has no step for this request") }
            return try await step.run(clock)
        }
        return try await transport.send(request, body: body, options: options)
    }
}
