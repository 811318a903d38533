#if CommandLineSupport
import Logging
import NIOCore
import ServiceLifecycle
import TokenBroker
import TokenBrokerNIO

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An HTTP server for an ``EndpointSet``, which listens from the beginning, run until it is shut down gracefully.
struct HTTPService: Service {
    private let server: HTTPServer

    /// Where it listens.
    var port: Int { server.port }

    /// Listens.
    /// - Parameters:
    ///   - port: 0 for any free one.
    ///   - setting: Where a user says which port, if anywhere, for the message if this one cannot be had.
    init(
        _ endpoints: EndpointSet, host: String, port: Int, setting: String? = nil, limits: HTTPServer.Limits = .init(),
        logger: Logger
    ) async throws(Failure) {
        do {
            server = try await .listen(endpoints, host: host, port: port, limits: limits, logger: logger)
        } catch {
            throw .cannotListen("cannot listen on \(address(host, port)): \(reason(error, setting))")
        }
    }

    func run() async {
        try? await gracefulShutdown()
        await withTaskCancellationHandler {
            await server.drain()
        } onCancel: {
            server.abort()
        }
        await server.close()
    }

    /// For a server that is not run.
    func close() async { await server.close() }
}

private func reason(_ error: any Error, _ setting: String?) -> String {
    let setting = setting.map { " with \($0)" } ?? ""
    return switch (error as? IOError)?.errnoCode {
    case EADDRINUSE: "the port is taken; choose another\(setting)"
    case EACCES: "this user may not listen on that port; choose one from 1024 on\(setting)"
    case EADDRNOTAVAIL: "this machine does not have that address"
    default: "\(error)"
    }
}
#endif
