public import FoundationEssentials
public import HTTPTypes
import Synchronization
public import TokenBroker

/// Notes down what goes through it, without secrets, to be replayed by a ``ReplayingTransport``.
///
/// ```swift
/// let transport = RecordingTransport(try CurlTransport())
/// // … use the vendor …
/// try transport.recording.write(to: "Tests/Fixtures/checkout.json")
/// ```
///
/// Replaced are:
/// - the values of `Authorization` and of every header field but the harmless ones (types, lengths, `Retry-After` …);
/// - in JSON, forms and queries the values of members with the names of secrets, such as `access_token`, `token` and `client_secret`, by names
///   such as `<access_token 1>`: the same secret by the same name throughout, wherever else it stands;
/// - a JSON Web Token by one with the same claims and no signature, since who asked for it compares the claims;
/// - in other text everything that is as long as a token.
public final class RecordingTransport: HTTPTransport {
    private struct State {
        var redactor: Redactor
        var recording: Recording
    }

    private let upstream: any HTTPTransport
    private let state: Mutex<State>

    /// - Parameters:
    ///   - upstream: Carries the calls.
    ///   - secretNames: Further names whose values are secret, of JSON members and parameters.
    ///   - plainFields: Further header fields whose values are kept.
    ///   - wallClock: For ``Recording/recordedAt``.
    public init(
        _ upstream: any HTTPTransport, secretNames: Set<String> = [], plainFields: Set<HTTPField.Name> = [],
        wallClock: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.upstream = upstream
        self.state = Mutex(
            State(
                redactor: Redactor(alsoSecret: secretNames, alsoPlain: plainFields),
                recording: Recording(recordedAt: wallClock())
            )
        )
    }

    /// What there is so far. A call that is under way has neither a response nor a failure.
    public var recording: Recording { state.withLock { $0.recording } }

    /// See ``HTTPTransport/send(_:body:options:)``.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let index = state.withLock { state in
            let request = state.redactor.request(request, body: body)
            state.recording.exchanges.append(Recording.Exchange(request: request))
            return state.recording.exchanges.endIndex - 1
        }
        do {
            let response = try await upstream.send(request, body: body, options: options)
            state.withLock { $0.recording.exchanges[index].response = $0.redactor.response(response) }
            return response
        } catch {
            state.withLock { $0.recording.exchanges[index].failure = error.code.description }
            throw error
        }
    }
}

/// Answers from a ``Recording``, and only to the very requests that were recorded, in their order.
///
/// A request that differs from the next one in method, address, header fields or body, secrets apart, fails with
/// ``TransportError/Code/other`` and a message that says in which.
public final class ReplayingTransport: HTTPTransport {
    private struct State {
        var redactor: Redactor
        var next = 0
    }

    private let recording: Recording
    private let clock: any Clock<Duration>
    private let state: Mutex<State>

    /// - Parameters:
    ///   - recording: From ``Recording/init(contentsOf:)``.
    ///   - secretNames: As they were when it was recorded.
    ///   - plainFields: As they were when it was recorded.
    ///   - clock: Measures timeouts. Answers come at once, and say that they took as long as then.
    public init(
        _ recording: Recording, secretNames: Set<String> = [], plainFields: Set<HTTPField.Name> = [],
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        self.recording = recording
        self.clock = clock
        self.state = Mutex(State(redactor: Redactor(alsoSecret: secretNames, alsoPlain: plainFields)))
    }

    /// How many exchanges have not been asked for yet.
    public var remaining: Int { recording.exchanges.count - state.withLock { $0.next } }

    /// See ``HTTPTransport/send(_:body:options:)``.
    public func send(
        _ request: HTTPRequest, body: [UInt8], options: TransportOptions
    ) async throws(TransportError) -> TransportResponse {
        let transport = InMemoryTransport(clock: clock) { [self] request, body in
            let result = state.withLock { next(for: request, body, &$0) }
            let exchange = try result.get()
            guard let response = exchange.response else {
                throw TransportError(TransportError.Code.named(exchange.failure), message: "as recorded")
            }
            return Self.response(response)
        }
        return try await transport.send(request, body: body, options: options)
    }

    private func next(
        for request: HTTPRequest, _ body: [UInt8], _ state: inout State
    ) -> Result<Recording.Exchange, TransportError> {
        guard state.next < recording.exchanges.count else {
            return .failure(TransportError(.other, message: "the recording has no further request"))
        }
        let exchange = recording.exchanges[state.next]
        let asked = state.redactor.request(request, body: body)
        if let difference = Self.difference(between: exchange.request, and: asked) {
            return .failure(
                TransportError(.other, message: "request \(state.next + 1) of the recording differs in \(difference)")
            )
        }
        state.next += 1
        return .success(exchange)
    }

    private static func difference(between recorded: Recording.Request, and asked: Recording.Request) -> String? {
        if recorded.method != asked.method { return "method" }
        if recorded.scheme != asked.scheme { return "scheme" }
        if recorded.authority != asked.authority { return "authority" }
        if recorded.path != asked.path { return "path" }
        if recorded.body != asked.body { return "body" }
        let names = Set((recorded.headerFields + asked.headerFields).map(\.name)).sorted()
        for name in names
        where recorded.headerFields.filter({ $0.name == name }) != asked.headerFields.filter({ $0.name == name }) {
            return "header field \(name)"
        }
        return nil
    }

    private static func response(_ recorded: Recording.Response) -> TransportResponse {
        var head = HTTPResponse(status: .init(code: recorded.status))
        for field in recorded.headerFields {
            if let name = HTTPField.Name(field.name) {
                head.headerFields.append(HTTPField(name: name, value: field.value))
            }
        }
        return TransportResponse(head: head, body: recorded.body?.bytes ?? [], elapsed: .milliseconds(recorded.elapsed))
    }
}

extension TransportError.Code {
    fileprivate static func named(_ name: String?) -> Self {
        let all: [Self] = [
            .refusedScheme, .invalidRequest, .resolve, .connect, .trust, .tls, .timedOut, .tooLarge, .malformed,
            .closed,
            .throttled, .cancelled, .shutDown,
        ]
        return all.first { $0.description == name } ?? .other
    }
}
