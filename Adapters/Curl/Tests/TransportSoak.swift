#if CurlSupport
import Foundation
import HTTPTypes
import Synchronization
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

@testable import CurlTransport

/// A soak test with 500 concurrent transfers against servers that fail in every way. Half of the calls are cancelled or
/// time out.
///
/// It runs for `SOAK_TRANSPORT_SECONDS` seconds, and not at all without that variable. `Scripts/soak-transport` sets
/// it.
@Suite(.serialized) struct TransportSoak {
    private static let seconds = ProcessInfo.processInfo.environment["SOAK_TRANSPORT_SECONDS"].flatMap { Int($0) }

    private final class Log: Sendable {
        let tally = Mutex(Tally())
    }

    private struct Tally {
        var outcomes: [String: Int] = [:]
        var slowestCancellation = Duration.zero
        var slowestDeadline = Duration.zero
    }

    @Test(.enabled(if: seconds != nil)) func `memory, handles and tasks are given back under load`() async throws {
        let seconds = max(10, Self.seconds ?? 0)
        let servers = try TLSServers()
        let faulty = try RawServer { Self.misbehave($0) }
        let dead = try RawServer { _ in }
        dead.stop()
        let transport = try CurlTransport(
            configuration: .init(
                connectTimeout: .seconds(1), timeout: .seconds(2), caFile: servers.caFile,
                maximumConnectionsPerHost: 512,
                maximumConnections: 1024
            )
        )
        let targets = [
            ("http", "127.0.0.1:\(faulty.port)"), ("http", "127.0.0.1:\(faulty.port)"),
            ("https", "localhost:\(servers.ports["trusted"] ?? 0)"), ("http", "127.0.0.1:\(dead.port)"),
        ]
        let before = openSockets()
        let log = Log()
        let end = ContinuousClock.now + .seconds(seconds)
        let memory = await withTaskGroup(of: Void.self) { group in
            for _ in 0..<500 {
                group.addTask {
                    while ContinuousClock.now < end {
                        await Self.transfer(over: transport, to: targets.randomElement() ?? targets[0], log)
                    }
                }
            }
            var memory: [Int] = []
            while ContinuousClock.now < end {
                // This sleep is deliberate: the test measures memory over real time.
                try? await ContinuousClock().sleep(for: .milliseconds(500))
                memory.append(residentKilobytes())
            }
            await group.waitForAll()
            return memory
        }
        #expect(EasyHandle.count.load(ordering: .relaxed) > 0)
        await transport.shutdown()
        faulty.stop()
        servers.stop()
        #expect(EasyHandle.count.load(ordering: .relaxed) == 0, "handles are lost")

        let result = log.tally.withLock { $0 }
        let total = result.outcomes.values.reduce(0, +)
        // Ignore the first quarter, in which pools and caches fill.
        let (early, late) = (memory[memory.count / 4..<memory.count / 2], memory[(memory.count * 3 / 4)...])
        let growth = (late.max() ?? 0) - (early.max() ?? 0)
        print("\(total) transfers in \(seconds) s:", result.outcomes.sorted { $0.key < $1.key })
        print(
            "slowest cancellation \(result.slowestCancellation), slowest after its deadline \(result.slowestDeadline)")
        print("resident: \(early.max() ?? 0) KiB early, \(late.max() ?? 0) KiB late")
        for code in ["200", "cancelled", "timedOut", "closed", "malformed", "tooLarge", "connect"] {
            #expect(result.outcomes[code, default: 0] > 0, "no transfer ended so")
        }
        #expect(Set(result.outcomes.keys).isDisjoint(with: ["other", "tls", "trust", "shutDown", "invalidRequest"]))
        #expect(growth < 16 << 10, "resident memory grew by \(growth) KiB")
        // Longer than any timeout in this test: such a task was forgotten.
        #expect(max(result.slowestCancellation, result.slowestDeadline) < .seconds(10))
        for _ in 0..<100 where openSockets() > before {
            try await ContinuousClock().sleep(for: .milliseconds(50))
        }
        #expect(openSockets() <= before, "sockets are lost")
    }

    private static func transfer(
        over transport: CurlTransport, to target: (String, String), _ log: Log
    ) async {
        let request = HTTPRequest(method: .post, scheme: target.0, authority: target.1, path: "/")
        let deadline = Duration.milliseconds(Int.random(in: 1...400))
        let options = TransportOptions(timeout: deadline, maximumResponseBytes: 10_000)
        let body = [UInt8](repeating: 1, count: Int.random(in: 0...2000))
        let start = ContinuousClock.now
        let task = Task { () -> String in
            do throws(TransportError) {
                return "\(try await transport.send(request, body: body, options: options).status.code)"
            } catch {
                return "\(error.code)"
            }
        }
        var cancellation: ContinuousClock.Instant?
        if Int.random(in: 0..<3) == 0 {
            if Bool.random() { try? await ContinuousClock().sleep(for: .milliseconds(Int.random(in: 0...50))) }
            cancellation = .now
            task.cancel()
        }
        let outcome = await task.value
        let now = ContinuousClock.now
        log.tally.withLock { tally in
            tally.outcomes[outcome, default: 0] += 1
            if let cancellation, outcome == "cancelled" {
                tally.slowestCancellation = max(tally.slowestCancellation, cancellation.duration(to: now))
            } else {
                tally.slowestDeadline = max(tally.slowestDeadline, start.duration(to: now) - deadline)
            }
        }
    }

    private static func misbehave(_ connection: RawServer.Connection) {
        let ok = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        while connection.readRequest() != nil {
            switch Int.random(in: 0..<20) {
            case 0: return
            case 1:
                connection.send("\(ok)Content-Length: 100\r\n\r\n0123456789")
                return
            case 2:
                connection.send("SMTP ready\r\n")
                return
            case 3: connection.send("\(ok)Content-Length: 10001\r\n\r\n" + String(repeating: "x", count: 10_001))
            case 4:
                connection.send(
                    "\(ok)Transfer-Encoding: chunked\r\n\r\n4e20\r\n" + String(repeating: "x", count: 20_000))
                connection.waitForClose()
                return
            case 5:
                connection.send("\(ok)Content-Length: 100\r\n\r\n0123456789")
                connection.waitForClose()
                return
            case 6:
                connection.waitForClose()
                return
            case 7, 8: connection.send("\(ok)Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
            case 9:
                usleep(UInt32.random(in: 1000...50_000))
                connection.send("\(ok)Content-Length: 2\r\n\r\nok")
            default: connection.send("\(ok)Content-Length: 2\r\n\r\nok")
            }
        }
    }
}

private func openSockets() -> Int {
    let folder = "/proc/self/fd"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.count { name in
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(name)"))?.hasPrefix("socket:") ?? false
    }
}

func residentKilobytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    return status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        .flatMap { Int($0.filter(\.isNumber)) } ?? 0
}
#endif
