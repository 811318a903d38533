import Foundation
import Synchronization
import TokenBrokerTesting

/// An HTTP proxy that opens tunnels (`CONNECT`) to ports of this machine, whatever host is requested. For tests only.
public final class ConnectProxy: Sendable {
    /// The proxy's URL, `http://127.0.0.1:port`.
    public var url: String { "http://127.0.0.1:\(server.port)" }
    /// The heads of the `CONNECT` requests, in order.
    public var requests: [String] { seen.requests.withLock { $0 } }
    private let server: RawServer
    private let seen: Seen

    private final class Seen: Sendable {
        let requests = Mutex<[String]>([])
    }

    /// Starts the proxy.
    /// - Parameter authorization: The required value of `Proxy-Authorization`, or `nil` for none. Other values get 407.
    public init(authorization: String? = nil) throws {
        let seen = Seen()
        self.seen = seen
        server = try RawServer { connection in
            guard let request = connection.readRequest() else { return }
            seen.requests.withLock { $0.append(request) }
            let words = request.split(separator: " ")
            guard words.first == "CONNECT", words.count > 1, let port = words[1].split(separator: ":").last,
                let port = UInt16(port)
            else {
                connection.send("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            }
            if let authorization, !request.contains("\r\nProxy-Authorization: \(authorization)\r\n") {
                connection.send("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=p\r\nContent-Length: 0\r\n\r\n")
                return
            }
            guard let target = try? RawClient(port: port) else {
                connection.send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            }
            connection.send("HTTP/1.1 200 Established\r\nX-From-The-Proxy: 1\r\n\r\n")
            let backward = Thread {
                while let bytes = target.read() { connection.send(bytes) }
                connection.finish()
            }
            backward.start()
            while let bytes = connection.read() { target.send(bytes) }
            target.finish()
            while !backward.isFinished { usleep(1000) }
            target.close()
        }
    }

    /// Ends all tunnels.
    public func stop() { server.stop() }
}
