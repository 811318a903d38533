import HTTPTypes
import Testing
import TokenBroker

extension HTTPTransportContract {
    /// The cases about the time that a transfer takes.
    static let times: [Case] = [
        Case(
            testDescription: "the elapsed time counts from sending the request to the end of the response",
            needs: .interruptions
        ) { fixture in
            let response = MisbehavingIssuer.Reaction.Step.respond(HTTPResponse(status: .ok), [1])
            let late = MisbehavingIssuer.Reaction(delay: .milliseconds(200), step: response)
            try await fixture.withServer(.handles { _, _ in late }) { transport, scheme, authority in
                let start = ContinuousClock.now
                let elapsed = try await outcome(transport, .get, scheme, authority, Self.timeout).get().elapsed
                let whole = start.duration(to: .now)
                if elapsed < .milliseconds(190) || elapsed > whole {
                    Issue.record("expected an elapsed time from 200 ms to the \(whole) of the call, found \(elapsed)")
                }
            }
        },
        Case(testDescription: "a body without end is given up at its ceiling", needs: .interruptions) { fixture in
            let flood = MisbehavingIssuer.Reaction(delay: .zero, step: .flood(HTTPResponse(status: .ok)))
            let options = TransportOptions(timeout: .seconds(10), maximumResponseBytes: 10_000)
            try await fixture.withServer(.handles { _, _ in flood }) { transport, scheme, authority in
                let result = try await ended("a body over its ceiling to end the call", within: .seconds(20)) {
                    await outcome(transport, .get, scheme, authority, options)
                }
                expectFailure(result, .tooLarge)
            }
        },
    ]

    static let interruptions =
        ends("resolving", needs: .slowResolution, .neverResolves)
        + ends("connecting", needs: .refusals, .neverConnects)
        + ends("waiting", needs: [], .neverAnswers)
        + ends("receiving the body", needs: .interruptions, .stopsMidBody)
        + ends("a byte of the body comes now and then", needs: .interruptions, .drips)

    /// The two cases for a transfer that does not end by itself: its timeout and its cancellation.
    static func ends(_ stage: String, needs: Capabilities, _ server: Server) -> [Case] {
        let timeout = Case(testDescription: "the timeout ends it while \(stage)", needs: needs) { fixture in
            try await fixture.withServer(server) { transport, scheme, authority in
                try await expectSoon("a timeout of 300 ms") {
                    let options = TransportOptions(timeout: .milliseconds(300))
                    let start = ContinuousClock.now
                    let result = try await ended("the call to end") {
                        await outcome(transport, .get, scheme, authority, options)
                    }
                    let elapsed = start.duration(to: .now)
                    expectFailure(result, .timedOut)
                    if elapsed < .milliseconds(250) {
                        Issue.record("expected a timeout of 300 ms to end the call then, found \(elapsed)")
                    }
                    return elapsed - .milliseconds(300)
                }
            }
        }
        let cancellation = Case(testDescription: "cancellation ends it while \(stage)", needs: needs) { fixture in
            try await fixture.withServer(server) { transport, scheme, authority in
                try await expectSoon("cancellation") {
                    let task = Task { await outcome(transport, .get, scheme, authority, Self.timeout) }
                    // The server reaches the stage in real time, and nothing reports when.
                    try await ContinuousClock().sleep(for: .milliseconds(200))
                    let start = ContinuousClock.now
                    task.cancel()
                    let result = try await ended("a cancelled call to end", within: .seconds(5)) { await task.value }
                    expectFailure(result, .cancelled)
                    return start.duration(to: .now)
                }
            }
        }
        return [timeout, cancellation]
    }

    /// Expects that one of three attempts measures less than a second, since a machine that is busy with other tests
    /// may delay an attempt.
    static func expectSoon(_ what: String, _ attempt: () async throws -> Duration) async throws {
        var delays: [Duration] = []
        for _ in 0..<3 {
            delays.append(try await attempt())
            if let last = delays.last, last < .seconds(1) { return }
        }
        Issue.record("expected \(what) to end the call within a second, found delays of \(delays)")
    }
}
