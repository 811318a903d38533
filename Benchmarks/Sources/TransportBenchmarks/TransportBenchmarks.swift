import Foundation
import Measuring

/// Measures what a request costs the client process, in comparison with libcurl's multi interface in C. The requests
/// are POSTs over kept connections to an nginx in a separate process.
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
                // URLSession does not trust our server.
                let contenders = clients.filter { scheme == "http" || !($0 is Session) }.map { client in
                    // URLSession gets fewer requests, so that all contenders take about the same time.
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
