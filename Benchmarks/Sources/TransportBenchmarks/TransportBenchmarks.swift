import Foundation
import Measuring

/// What one request costs the process that sends it, next to libcurl's multi interface from C: POSTs over kept connections to an nginx in a
/// process of its own.
@main
enum TransportBenchmarks {
    static func main() async throws {
        let token = String(repeating: "0123456789abcdef", count: 16)
        let nginx = try Nginx(answers: ["/": #"{"access_token": "\#(token)", "expires_in": 3600}"#])
        defer { nginx.stop() }
        let clients: [any Client] = [
            BareCurl(), try Curl(caFile: nginx.caFile, onItsExecutor: true), try Curl(caFile: nginx.caFile),
            AsyncHTTP(caFile: nginx.caFile), Session(),
        ]
        for (scheme, authority) in [("http", nginx.plainAuthority), ("https", nginx.tlsAuthority)] {
            let job = Job(scheme: scheme, authority: authority, caFile: nginx.caFile)
            for concurrency in [1, 16, 64, 256] {
                // It does not trust our server.
                let contenders = clients.filter { scheme == "http" || !($0 is Session) }.map { client in
                    // As many as take about as long as the others'.
                    let count = (concurrency == 1 ? 2000 : 6000) / (client is Session ? 4 : 1)
                    return Contender(client.name, operations: count) {
                        try await client.run(job, concurrency: concurrency, count: count)
                    }
                }
                let version = scheme == "http" ? "HTTP/1.1, plain" : "HTTP/2 over TLS"
                let title = "POST over \(version), \(concurrency) at a time"
                try await compare(title, rounds: rounds(usually: 5), contenders)
            }
        }
        for client in clients { await client.stop() }
    }
}
