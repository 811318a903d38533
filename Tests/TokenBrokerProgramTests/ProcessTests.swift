#if CommandLineSupport
import CurlTransport
import Foundation
import HTTPTypes
import TestSupport
import Testing
import TokenBroker
import TokenBrokerTesting

/// Tests of the program as a process: its streams, its signals and its children.
@Suite(.serialized) struct ProcessTests {
    private let transport: CurlTransport

    init() throws { transport = try CurlTransport() }

    private func configuration(_ extra: String, vendor: String = "http://127.0.0.1:1") throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "process-\(UUID().uuidString).yaml").path
        let text = """
            vendor: {environment: sandbox, baseURL: "\(vendor)"}
            access: {mode: open}
            \(extra)
            """
        try Data(text.utf8).write(to: URL(filePath: path))
        return path
    }

    private let credentials = ["ALTERNATIVE_CLIENT_ID": "id", "ALTERNATIVE_CLIENT_SECRET": "secret"]

    private func send(_ authority: String, _ path: String, origin: String? = nil) async throws -> HTTPResponse.Status {
        var fields: HTTPFields = [.contentType: "application/json"]
        fields[.origin] = origin
        let method: HTTPRequest.Method = origin == nil ? .get : .post
        let request = HTTPRequest(
            method: method, scheme: "http", authority: authority, path: path, headerFields: fields)
        return try await transport.send(request, body: [], options: .init(timeout: .seconds(10))).status
    }

    /// Sends requests that are refused. Each one is logged with about 600 bytes.
    private func flood(_ authority: String, _ count: Int) async throws {
        let origin =
            "https://\(Array(repeating: String(repeating: "a", count: 60), count: 4).joined(separator: ".")).example"
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    for _ in 0..<(count / 16) {
                        let status = try await send(authority, "/api/checkout-token", origin: origin)
                        #expect(status == .forbidden)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `before it stops, serve is not ready but serves for the configured delay`() async throws {
        let file = try configuration("server: {port: 0, shutdownDelay: 2s}")
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials)
        let authority = try await server.authority(inLine: "token-broker listens on")
        #expect(try await send(authority, "/readyz") == .ok)
        let start = ContinuousClock.now
        server.send(SIGTERM)
        try await waitUntil { try await send(authority, "/readyz") == .serviceUnavailable }
        #expect(try await send(authority, "/healthz") == .ok)
        // The vendor is out of reach, but the request is served.
        #expect(try await send(authority, "/api/checkout-token", origin: "http://\(authority)") == .badRequest)
        #expect(await server.exitCode() == 0)
        #expect(start.duration(to: .now) > .milliseconds(1_900))
    }

    @Test func `a service manager is told when serve listens, lives and stops`() async throws {
        let manager = try NotificationSocket()
        let file = try configuration("server: {port: 0}")
        var environment = credentials
        environment["NOTIFY_SOCKET"] = manager.path
        environment["WATCHDOG_USEC"] = "400000"
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: environment)
        let authority = try await server.authority(inLine: "token-broker listens on")
        try await waitUntil { manager.receive().contains("READY=1") }
        #expect(try await send(authority, "/healthz") == .ok)
        try await waitUntil { manager.receive().count { $0 == "WATCHDOG=1" } >= 3 }
        server.send(SIGTERM)
        try await waitUntil { manager.receive().contains("STOPPING=1") }
        #expect(await server.exitCode() == 0)
        #expect(manager.receive().count { $0 == "READY=1" } == 1)
        #expect(Set(manager.receive()) == ["READY=1", "WATCHDOG=1", "STOPPING=1"])
    }

    @Test(arguments: ["", "relative", "/nowhere/socket", "@", "/" + String(repeating: "x", count: 200)])
    func `a service manager that cannot be reached changes nothing`(socket: String) async throws {
        let file = try configuration("server: {port: 0}")
        var environment = credentials
        environment["NOTIFY_SOCKET"] = socket
        environment["WATCHDOG_USEC"] = "-1"
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: environment)
        let authority = try await server.authority(inLine: "token-broker listens on")
        #expect(try await send(authority, "/healthz") == .ok)
        #expect(await server.terminate() == 0)
    }

    @Test func `a log that is not read delays neither answers nor the shutdown`() async throws {
        let file = try configuration("server: {port: 0, shutdownTimeout: 5s}")
        let server = try RunningProgram.tokenBroker(
            ["serve", "--config", file, "--log-level", "trace"], environment: credentials, holdsError: true
        )
        let authority = try await server.authority(inLine: "token-broker listens on")
        try await flood(authority, 4_000)
        #expect(try await send(authority, "/healthz") == .ok)
        let start = ContinuousClock.now
        #expect(await server.terminate() == 0)
        #expect(start.duration(to: .now) < .seconds(6))
    }

    @Test(arguments: ["text", "json"])
    func `serve reports how many log lines were dropped, in their place`(format: String) async throws {
        let file = try configuration("server: {port: 0}")
        let server = try RunningProgram.tokenBroker(
            ["serve", "--config", file, "--log-format", format], environment: credentials, holdsError: true
        )
        let authority = try await server.authority(inLine: "token-broker listens on")
        try await flood(authority, 4_000)
        server.readError()
        _ = try await server.line(containing: "log lines were dropped")
        // From then on, every line is written again.
        try await flood(authority, 16)
        server.send(SIGTERM)
        _ = try await server.line(containing: "stopping")
        #expect(await server.exitCode() == 0)
        let lines = server.output.split(separator: "\n")
        let dropped = lines.filter { $0.contains("log lines were dropped") }
            .map { Int($0.drop { $0 != "=" && $0 != "{" }.drop { !$0.isNumber }.prefix { $0.isNumber }) ?? 0 }
        #expect(dropped.reduce(0, +) > 0)
        #expect(lines.count { $0.contains("checkout token refused") } + dropped.reduce(0, +) == 4_016)
    }

    @Test func `a log that cannot be written affects nothing else`() async throws {
        let file = try configuration("server: {port: 0}")
        for target in ["2>&-", "2>/dev/full"] {
            let program = try RunningProgram.tokenBrokerPath
            let server = try RunningProgram(
                "/bin/sh", ["-c", "exec \(program) serve --config \(file) --log-level trace \(target)"],
                environment: credentials
            )
            let authority = try await server.authority(inLine: "token-broker listens on")
            try await flood(authority, 64)
            #expect(await server.terminate() == 0)
        }
    }

    @Test func `a message that is not read does not keep the process alive`() async throws {
        // The pipe is full, and its reader sleeps.
        let program = try RunningProgram.tokenBrokerPath
        let line = "(head -c 65536 /dev/zero; \(program) check --config /nowhere 2>&1; echo $? >&3) | sleep 60"
        let shell = try RunningProgram("/bin/sh", ["-c", "exec 3>&1; \(line)"])
        #expect(try await shell.line(containing: "78") == "78")
        shell.send(SIGKILL)
    }

    @Test func `output that cannot be printed makes a command fail`() async throws {
        let sandbox = try RunningProgram.tokenBroker(["sandbox", "--port", "0", "--requests-per-second", "0"])
        let vendor = try await sandbox.authority(inLine: "sandbox listens on")
        let file = try configuration("", vendor: "http://\(vendor)")
        let program = try RunningProgram.tokenBrokerPath
        let environment = [
            "ALTERNATIVE_CLIENT_ID": "sandbox-client", "ALTERNATIVE_CLIENT_SECRET": "sandbox-secret",
        ]
        let session = "mint --config \(file) --customer cus_demo --invoice inv_1"
        for command in [
            session, session + " --json", "check --config \(file)", "plugins", "plugins --format json", "--help",
            "--version", "help mint", "--generate-completion-script bash",
        ] {
            for target in [">&-", ">/dev/full", "| true"] {
                // The pipe's reader has exited before anything is written.
                let line =
                    target == "| true"
                    ? "{ sleep 0.2; \(program) \(command); echo code $? >&2; } | true"
                    : "\(program) \(command) \(target); echo code $? >&2"
                let shell = try RunningProgram("/bin/sh", ["-c", line], environment: environment)
                #expect(await shell.exitCode() == 0)
                #expect(shell.output.contains("code 74"), "\(command) \(target): \(shell.output)")
                #expect(shell.output.contains("cannot write to standard output"), "\(command) \(target)")
            }
        }
        await sandbox.terminate()
    }

    @Test func `serve ignores SIGHUP and user signals, and shuts down on SIGTERM, SIGINT and SIGQUIT`() async throws {
        let file = try configuration("server: {port: 0}")
        for (signal, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT")] {
            let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials)
            let authority = try await server.authority(inLine: "token-broker listens on")
            server.send(SIGUSR1)
            server.send(SIGUSR2)
            server.send(SIGPIPE)
            server.send(SIGHUP)
            _ = try await server.line(containing: "SIGHUP: nothing is reloaded")
            #expect(try await send(authority, "/healthz") == .ok)
            server.send(signal)
            #expect(await server.exitCode() == 0)
            #expect(server.output.contains("signal=\(name)"))
        }
    }

    @Test(arguments: ["demo", "sandbox"], [SIGHUP, SIGTERM, SIGINT, SIGQUIT])
    func `demo and sandbox shut down in order on a signal or when their terminal closes`(
        command: String, signal: Int32
    ) async throws {
        let program = try RunningProgram.tokenBroker([command, "--port", "0"])
        _ = try await program.line(containing: command == "demo" ? "Open http://" : "sandbox listens on")
        program.send(signal)
        #expect(await program.exitCode() == 0)
        #expect(program.output.contains("stopping"), "\(program.output)")
    }

    @Test func `a sandbox started with nohup survives its terminal`() async throws {
        let program = try RunningProgram(
            "/usr/bin/env", ["nohup", RunningProgram.tokenBrokerPath, "sandbox", "--port", "0"])
        let authority = try await program.authority(inLine: "sandbox listens on")
        program.send(SIGHUP)
        #expect(try await send(authority, "/_sandbox/calls") == .ok)
        #expect(await program.terminate() == 0)
        #expect(!program.output.contains("SIGHUP"))
    }

    /// Starts a vendor that never responds, so that a request stays in flight as long as the program waits.
    private func hangingVendor() throws -> (RawServer, String) {
        let vendor = try RawServer { connection in connection.waitForClose() }
        return (vendor, "http://127.0.0.1:\(vendor.port)")
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGQUIT])
    func `a second signal ends serve at once`(signal: Int32) async throws {
        let (vendor, address) = try hangingVendor()
        defer { vendor.stop() }
        let file = try configuration("server: {port: 0, shutdownTimeout: 60s}", vendor: address)
        let server = try RunningProgram.tokenBroker(["serve", "--config", file], environment: credentials)
        let authority = try await server.authority(inLine: "token-broker listens on")
        let client = try RawClient(port: try #require(UInt16(authority.split(separator: ":").last ?? "")))
        defer { client.close() }
        let body = #"{"customerId": "cus_1", "invoiceId": "inv_1"}"#
        client.send(
            "POST /api/checkout-token HTTP/1.1\r\nHost: \(authority)\r\nContent-Type: application/json\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
        // Once the next request has its response, the first one is in flight.
        #expect(try await send(authority, "/healthz") == .ok)
        server.send(SIGTERM)
        _ = try await server.line(containing: "stopping")
        let start = ContinuousClock.now
        server.send(signal)
        #expect(await server.exitCode() == 128 + signal)
        #expect(start.duration(to: .now) < .seconds(10))
    }

    @Test func `SIGQUIT never prints memory, whatever the command`() async throws {
        let (vendor, address) = try hangingVendor()
        defer { vendor.stop() }
        let file = try configuration("", vendor: address)
        let check = try RunningProgram.tokenBroker(
            ["check", "--live", "--config", file],
            environment: credentials.merging(["SWIFT_BACKTRACE": "enable=yes"]) { $1 }
        )
        _ = try await check.line(containing: "credentials: found")
        check.send(SIGQUIT)
        #expect(await check.exitCode() == 128 + SIGQUIT)
        #expect(!check.output.contains("Registers") && !check.output.contains("Thread 0"), "\(check.output)")
    }

    @Test func `a credential command starts with no signal blocked, ignored or caught`() async throws {
        let status = FileManager.default.temporaryDirectory.appending(path: "status-\(UUID().uuidString)").path
        let script =
            "cat /proc/self/status >\(status); echo '{\\\"client_id\\\": \\\"a\\\", \\\"client_secret\\\": \\\"b\\\"}'"
        let file = try configuration(
            """
            server: {port: 0}
            credentials: {sources: [command], command: {run: ["/bin/sh", "-c", "\(script)"]}}
            """
        )
        // While the program serves, it handles and ignores some signals.
        let server = try RunningProgram.tokenBroker(["serve", "--config", file])
        let authority = try await server.authority(inLine: "token-broker listens on")
        let request = HTTPRequest(
            method: .post, scheme: "http", authority: authority, path: "/api/checkout-token",
            headerFields: [.contentType: "application/json"])
        let body = #"{"customerId": "cus_1", "invoiceId": "inv_1"}"#
        _ = try await transport.send(request, body: Array(body.utf8), options: .init(timeout: .seconds(30)))
        #expect(await server.terminate() == 0)
        let text = try String(contentsOfFile: status, encoding: .utf8)
        for set in ["SigBlk", "SigIgn", "SigCgt"] {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(set) })
            let signals = try #require(UInt64(line.drop { $0 != "\t" }.dropFirst(), radix: 16))
            // The C library uses the signals 32 and 33 itself.
            #expect(signals & 0x7FFF_FFFF == 0, "\(line)")
        }
    }

    @Test func `an error in the command line or a file is reported with its reason`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "files-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let fifo = folder + "/fifo"
        #expect(mkfifo(fifo, 0o600) == 0)
        for (arguments, code, text) in [
            (["serv"], 64, "there is no command 'serv'; did you mean 'serve'?"),
            (["sandbx", "--port", "0"], 64, "did you mean 'sandbox'?"),
            (["sandbox", "--checkout-token-lifetime", "5"], 64, "a duration such as 30s, 5m or 1h"),
            (["demo", "--checkout-token-lifetime", "0s"], 64, "a duration such as 30s, 5m or 1h"),
            (["sandbox", "--host", "127.0.0.1:9999"], 64, "--host must be a host name or an IP address"),
            (["check", "--config", fifo], 78, "it is not a regular file"),
            (["check", "--config", "/dev/stdin"], 78, "it is not a regular file"),
            (["check", "--config", folder], 78, "it is not a regular file"),
            (["check", "--config", folder + "/none"], 78, "no such file"),
            (["check", "--config", folder + "/fifo/none"], 78, "Not a directory"),
        ] as [([String], Int32, String)] {
            let program = try RunningProgram.tokenBroker(arguments)
            #expect(await program.exitCode() == code, "\(arguments)")
            #expect(program.output.hasPrefix("token-broker: "), "\(arguments): \(program.output)")
            #expect(program.output.contains(text), "\(arguments): \(program.output)")
        }
    }

    @Test func `an IPv6 address is printed as it appears in a URL`() async throws {
        let program = try RunningProgram.tokenBroker(["sandbox", "--host", "::1", "--port", "0"])
        let line = try await program.line(containing: "sandbox listens on")
        #expect(line.contains("http://[::1]:"), "\(line)")
        #expect(await program.terminate() == 0)
    }
}
#endif
