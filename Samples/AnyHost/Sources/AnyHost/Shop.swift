import CurlTransport
import Foundation
import HTTPTypes
import Logging
import TokenBroker
import TokenBrokerComposer

/// A shop on a host without an adapter. Its broker is built by hand, so it needs only the transport's trait, and no
/// packages other than the core's.
@main struct Shop {
    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        let logger = Logger(label: "shop")
        let vendor = try Vendor(
            profile: .alternativePayments, baseURL: environment["VENDOR"] ?? "http://127.0.0.1:8081"
        )
        let variables = vendor.profile.credentialVariables
        let broker = try Broker(
            vendor: vendor,
            credentials: EnvironmentCredentials(clientID: variables.clientID, clientSecret: variables.clientSecret),
            transport: CurlTransport(), authenticator: OpenModeAuthenticator(), policy: OpenModePolicy(),
            configuration: .init(for: vendor, environment: "sandbox"), logger: logger
        )

        let host = try Host(port: environment["PORT"].flatMap { UInt16($0) } ?? 8080)
        host.run { head, body, peer in
            if let answer = await broker.endpoints.answer(head, body: body, peer: peer) { return answer }
            let isFound = head.path == "/"
            let text = Array((isFound ? "my shop" : "not found").utf8)
            let fields: HTTPFields = [.contentLength: String(text.count)]
            return (HTTPResponse(status: isFound ? .ok : .notFound, headerFields: fields), text)
        }
        logger.info("listens on http://127.0.0.1:\(host.port)")
        await stopSignal()
    }

    /// Waits for SIGTERM.
    private static func stopSignal() async {
        signal(SIGTERM, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: SIGTERM)
        await withCheckedContinuation { continuation in
            source.setEventHandler {
                source.cancel()
                continuation.resume()
            }
            source.activate()
        }
    }
}
