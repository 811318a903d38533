import Foundation
import Measuring

/// Measures the throughput and CPU time per request of a server that returns tokens.
///
/// Tokens come from the cache, or with a call to a vendor (an nginx) for each request. For comparison, the same host
/// returns a constant, and a Go program does the same job. All servers are separate processes. wrk causes the load,
/// from 32 connections. The environment variable `ROUND_SECONDS` is the time of each measurement.
@main
enum EndpointBenchmarks {
    static let rounds = Measuring.rounds(usually: 5)
    static let seconds = ProcessInfo.processInfo.environment["ROUND_SECONDS"].flatMap(Int.init) ?? 2

    static func main() async throws {
        let arguments = CommandLine.arguments
        if arguments.count == 4, arguments[1] == "serve" {
            return try await serve(host: arguments[2], vendor: arguments[3])
        }

        let claims = #"{"customer_id":"cus_1","invoice_id":"inv_1","exp":4102444800}"#
        let token = [#"{"alg":"RS256"}"#, claims, "signature"].map(base64URL).joined(separator: ".")
        let nginx = try Nginx(answers: [
            "/oauth/token": #"{"access_token": "0123456789abcdef", "expires_in": 3600, "token_type": "bearer"}"#,
            "/v1/checkout-auth/init": #"{"token": "\#(token)"}"#,
        ])
        defer { nginx.stop() }
        let vendor = "http://\(nginx.plainAuthority)"
        let folder = FileManager.default.temporaryDirectory.appending(path: "benchmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = folder.appending(path: "load.lua").path
        try load.write(toFile: script, atomically: true, encoding: .utf8)

        var servers: [Server] = []
        defer { for server in servers { server.stop() } }
        do {
            let program = try goProgram(in: folder)
            servers.append(try Server("Go", ["constant", "uncached"], [program, vendor]))
        } catch {
            print("Skipping Go (Debian: golang-go, golang-golang-x-oauth2-dev), since its build failed:\n\(error)")
        }
        for host in ["Hummingbird", "NIO", "FlyingFox"] {
            let command = ["/proc/self/exe", "serve", host, vendor]
            servers.append(try Server(host, ["constant", "cached", "uncached"], command))
        }

        var figures: [Subject: [Figure]] = [:]
        for round in 0...rounds {
            for server in servers {
                for path in server.paths {
                    let figure = try measure(server, path, script)
                    if round > 0 { figures[Subject(server: server.name, path: path), default: []].append(figure) }
                }
            }
        }
        let medians = figures.mapValues { Figure(rate: median($0.map(\.rate)), cpu: median($0.map(\.cpu))) }
        for server in servers {
            print("\n\(server.name)")
            print(row("", "per second", "CPU", "to constant", "to Go"))
            for path in server.paths {
                guard let own = medians[Subject(server: server.name, path: path)] else { continue }
                func ratio(_ other: Subject) -> String { medians[other].map { ratioText(own.cpu / $0.cpu) } ?? "" }
                print(
                    row(
                        path, String(format: "%.0f", own.rate), inNanoseconds(own.cpu * 1e9),
                        ratio(Subject(server: server.name, path: "constant")), ratio(Subject(server: "Go", path: path))
                    )
                )
            }
        }
    }

    struct Subject: Hashable {
        var server: String
        var path: String
    }

    struct Figure {
        /// The requests per second.
        var rate: Double
        /// The CPU seconds per request.
        var cpu: Double
    }

    static func measure(_ server: Server, _ path: String, _ script: String) throws -> Figure {
        let before = try server.processorTime()
        let url = "http://127.0.0.1:\(server.port)/\(path)"
        let output = try run(["/usr/bin/wrk", "-t1", "-c32", "-d\(seconds)s", "-s", script, url])
        let spent = try server.processorTime() - before
        // The numbers are requests, errors and microseconds.
        let numbers = output.split(separator: "\n").last?.split(separator: " ").compactMap { Double($0) } ?? []
        guard numbers.count == 3, numbers[1] == 0, numbers[0] > 0 else { throw Failed(reason: "\(url): \(output)") }
        return Figure(rate: numbers[0] / numbers[2] * 1e6, cpu: spent / numbers[0])
    }

    static let load = """
        wrk.method = "POST"
        wrk.body = '{"customerId": "cus_1", "invoiceId": "inv_1"}'
        wrk.headers["Content-Type"] = "application/json"
        function done(summary)
            local errors = summary.errors
            local count = errors.status + errors.read + errors.write + errors.connect + errors.timeout
            io.write(string.format("%d %d %d\\n", summary.requests, count, summary.duration))
        end
        """

    /// Builds the Go program with the library sources that Debian packages, and returns its path.
    static func goProgram(in folder: URL) throws -> String {
        let program = folder.appending(path: "go-program").path
        let source = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Go/main.go").path
        let settings = ["GO111MODULE=off", "GOPATH=/usr/share/gocode"]
        _ = try run(["/usr/bin/env"] + settings + ["go", "build", "-o", program, source])
        return program
    }

    static func base64URL(_ text: String) -> String {
        let text = Data(text.utf8).base64EncodedString()
        return text.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
