public import HTTPTypes
import Synchronization
public import TokenBroker

/// A transport that answers with one step after the other, and remembers what it was asked.
///
/// A request beyond the end of the script fails with ``TransportError/Code/other``, and is remembered like the others.
public final class ScriptedTransport: HTTPTransport {
    /// What happens with one request.
    public struct Step: Sendable {
        fileprivate let run: @Sendable (any Clock<Duration>) async throws -> TransportResponse

        /// Answers.
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

        /// Fails.
        public static func fail(_ code: TransportError.Code) -> Step {
            Step { _ in throw TransportError(code, message: "as scripted") }
        }

        /// Never answers: ends with the request's timeout or with cancellation.
        public static let hang = Step { clock -> TransportResponse in
            while true { try await clock.sleep(for: .seconds(3600)) }
        }

        /// Does another step after `duration` on the transport's clock.
        public static func after(_ duration: Duration, _ step: Step) -> Step {
            Step { clock in
                try await clock.sleep(for: duration)
                return try await step.run(clock)
            }
        }
    }

    /// One request as it came in.
    public struct Sent: Sendable {
        /// Method, address and header fields.
        public var request: HTTPRequest
        /// The content.
        public var body: [UInt8]
        /// The limits it came with.
        public var options: TransportOptions
    }

    private let clock: any Clock<Duration>
    private let state: Mutex<(steps: [Step], sent: [Sent])>

    /// - Parameters:
    ///   - steps: The first request gets the first.
    ///   - clock: Measures timeouts and waits.
    public init(_ steps: [Step], clock: some Clock<Duration> = ContinuousClock()) {
        self.clock = clock
        self.state = Mutex((steps, []))
    }

    /// What came in, in order.
    public var sent: [Sent] { state.withLock { $0.sent } }
    /// How many steps are left.
    public var remainingSteps: Int { state.withLock { $0.steps.count } }
    /// Appends a step.
    public func then(_ step: Step) { state.withLock { $0.steps.append(step) } }

    /// See ``HTTPTransport/send(_:body:options:)``.
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
