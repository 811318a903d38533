import Foundation
import FoundationNetworking

/// Foundation's URLSession. On Linux it trusts only the system's authorities.
struct Session: Client {
    let name = "URLSession"
    let session: URLSession

    init() {
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpMaximumConnectionsPerHost = 64
        session = URLSession(configuration: configuration)
    }

    func run(_ job: Job, concurrency: Int, count: Int) async throws {
        guard let url = URL(string: job.url) else { throw Failed(reason: "no URL") }
        var request = URLRequest(url: url, timeoutInterval: 10)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Accept")
        request.setValue(job.authorization, forHTTPHeaderField: "Authorization")
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = Data(job.body.utf8)
        try await spread(concurrency, count) { [session, request] in
            let (body, response) = try await session.data(for: request)
            return (response as? HTTPURLResponse)?.statusCode == 200 && !body.isEmpty
        }
    }

    func stop() async { session.invalidateAndCancel() }
}
