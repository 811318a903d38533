import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOSSL

/// AsyncHTTPClient, called as its users do.
struct AsyncHTTP: Client {
    let name = "AsyncHTTPClient"
    let client: HTTPClient

    init(caFile: String) {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.tlsConfiguration = .makeClientConfiguration()
        configuration.tlsConfiguration?.trustRoots = .file(caFile)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        // Otherwise a failed connection is retried until the timeout, which hides the error.
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    func run(_ job: Job, concurrency: Int, count: Int) async throws {
        var request = HTTPClientRequest(url: job.url)
        request.method = .POST
        request.headers = [
            "Accept": "application/json", "Authorization": job.authorization, "Content-Type": "application/json",
        ]
        request.body = .bytes(Array(job.body.utf8))
        try await spread(concurrency, count) { [client, request] in
            let response = try await client.execute(request, timeout: .seconds(10))
            let body = try await response.body.collect(upTo: 1 << 20)
            return response.status == .ok && body.readableBytes > 0
        }
    }

    func stop() async { try? await client.shutdown() }
}
