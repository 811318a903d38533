import CBareCurl
import CurlTransport
import Foundation
import HTTPTypes
import TokenBroker

/// The request that every contender sends.
struct Job: Sendable {
    var scheme: String
    var authority: String
    var caFile: String
    let path = "/v1/checkout-auth/init"
    let authorization = "Bearer \(String(repeating: "0123456789abcdef", count: 4))"
    let body = #"{"customer_id": "cus_0123456789", "invoice_id": "inv_0123456789"}"#
    var url: String { "\(scheme)://\(authority)\(path)" }
}

/// A client that is measured.
protocol Client: Sendable {
    var name: String { get }
    /// Sends `count` requests, `concurrency` at a time.
    func run(_ job: Job, concurrency: Int, count: Int) async throws
    func stop() async
}

struct Failed: Error { var reason: String }

/// Calls `send` `count` times in total, from `concurrency` tasks.
func spread(
    _ concurrency: Int, _ count: Int, on executor: (any TaskExecutor)? = nil,
    _ send: @escaping @Sendable () async throws -> Bool
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<concurrency {
            group.addTask(executorPreference: executor) {
                for _ in 0..<(count / concurrency + (worker < count % concurrency ? 1 : 0)) {
                    guard try await send() else { throw Failed(reason: "not answered with 200 and a body") }
                }
            }
        }
        try await group.waitForAll()
    }
}

/// libcurl's multi interface, called from C.
struct BareCurl: Client {
    let name = "bare C"

    func run(_ job: Job, concurrency: Int, count: Int) async throws {
        let failed: Bool = await withCheckedContinuation { continuation in
            // The C function blocks, so it runs on its own thread.
            Thread.detachNewThread {
                let texts = [
                    "Expect:", "Accept: application/json", "Authorization: \(job.authorization)",
                    "Content-Type: application/json",
                ]
                let lines: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
                var pointers: [UnsafePointer<CChar>?] = lines.map { UnsafePointer($0) } + [nil]
                let result = bare_curl_run(
                    job.url, job.scheme == "https" ? job.caFile : nil, &pointers, job.body, Int32(concurrency), count
                )
                for line in lines { free(line) }
                continuation.resume(returning: result != 0)
            }
        }
        if failed { throw Failed(reason: "not answered with 200 and a body") }
    }

    func stop() async {}
}

/// This package's transport, called from tasks on the global executor or on the transport's.
struct Curl: Client {
    let name: String
    let transport: CurlTransport
    private let usesItsExecutor: Bool

    init(caFile: String, onItsExecutor usesItsExecutor: Bool = false) throws {
        name = usesItsExecutor ? "CurlTransport, own executor" : "CurlTransport"
        self.usesItsExecutor = usesItsExecutor
        transport = try CurlTransport(configuration: .init(caFile: caFile))
    }

    func run(_ job: Job, concurrency: Int, count: Int) async throws {
        var fields = HTTPFields()
        fields[.accept] = "application/json"
        fields[.authorization] = job.authorization
        fields[.contentType] = "application/json"
        let request = HTTPRequest(
            method: .post, scheme: job.scheme, authority: job.authority, path: job.path, headerFields: fields
        )
        let body = Array(job.body.utf8)
        try await spread(concurrency, count, on: usesItsExecutor ? transport.executor : nil) { [transport] in
            let response = try await transport.send(request, body: body, options: .init())
            return response.status == .ok && !response.body.isEmpty
        }
    }

    func stop() async { await transport.shutdown() }
}
