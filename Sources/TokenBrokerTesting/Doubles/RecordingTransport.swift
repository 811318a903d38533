public import FoundationEssentials
public import HTTPTypes
import Synchronization
public import TokenBroker

/// A transport that records its exchanges, without secrets, for a ``ReplayingTransport``.
///
/// ```swift
/// let transport = RecordingTransport(try CurlTransport())
/// // … use the vendor …
/// try transport.recording.write(to: "Tests/Fixtures/checkout.json")
/// ```
///
/// The recording replaces:
/// - the values of `Authorization` and of all header fields except harmless ones, such as types, lengths and
///   `Retry-After`;
/// - in JSON, forms and queries, the values of members with the name of a secret, such as `access_token`, `token` and
///   `client_secret`. The placeholder, such as `<access_token 1>`, is the same wherever the same secret occurs;
/// - a JSON Web Token, by one with the same claims and a worthless signature, since the client that requested it
///   compares the claims;
/// - in other text, everything that is as long as a token.
public final class RecordingTransport: HTTPTransport {
    private struct State {
        var redactor: Redactor
        var recording: Recording
    }

    private let upstream: any HTTPTransport
    private let state: Mutex<State>

    /// Creates a recording transport.
    ///
    /// - Parameters:
    ///   - upstream: The transport that sends the requests.
    ///   - secretNames: Additional names of JSON members and parameters whose values are secret.
    ///   - plainFields: Additional header fields whose values are kept.
    ///   - wallClock: The clock for ``Recording/recordedAt``.
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

    /// The recording so far. A call in progress has neither a response nor a failure.
    public var recording: Recording { state.withLock { $0.recording } }

    /// Sends a request with the upstream transport, and records the exchange.
    ///
    /// - Throws: The upstream transport's error.
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

/// A transport that answers from a ``Recording``. It accepts only the recorded requests, in their order.
///
/// A request that differs from the next recorded one in method, URL, header fields or body, apart from secrets, fails
/// with `TransportError/Code/other` and a message that names the difference.
public final class ReplayingTransport: HTTPTransport {
    private struct State {
        var redactor: Redactor
        var next = 0
    }

    private let recording: Recording
    private let clock: any Clock<Duration>
    private let state: Mutex<State>

    /// Creates a replaying transport.
    ///
    /// - Parameters:
    ///   - recording: The recording, such as from ``Recording/init(contentsOf:)``.
    ///   - secretNames: The same names that the recording was made with.
    ///   - plainFields: The same header fields that the recording was made with.
    ///   - clock: The clock that measures timeouts. Responses come at once, with the recorded elapsed time.
    public init(
        _ recording: Recording, secretNames: Set<String> = [], plainFields: Set<HTTPField.Name> = [],
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        self.recording = recording
        self.clock = clock
        self.state = Mutex(State(redactor: Redactor(alsoSecret: secretNames, alsoPlain: plainFields)))
    }

    /// The number of exchanges that have not been replayed yet.
    public var remaining: Int { recording.exchanges.count - state.withLock { $0.next } }

    /// Returns the recorded response to a request.
    ///
    /// - Throws: The recorded failure, or a `TransportError` if the request is not the next one of the recording.
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
            return .failure(TransportError(.other, message: "the recording has no more requests"))
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
