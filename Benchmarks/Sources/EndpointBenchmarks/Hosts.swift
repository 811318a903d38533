import CurlTransport
import FlyingFox
import FlyingSocks
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import TokenBroker
import TokenBrokerFlyingFox
import TokenBrokerHummingbird
import TokenBrokerNIO

/// Runs a server with its own `/constant`, and the broker's `/cached` and `/uncached`. It prints its port, then serves
/// until it is killed.
func serve(host: String, vendor: String) async throws {
    let endpoints = try endpoints(vendor: vendor)
    switch host {
    case "Hummingbird": try await serveHummingbird(endpoints)
    case "NIO": try await serveNIO(endpoints)
    case "FlyingFox": try await serveFlyingFox(endpoints)
    default: throw Failed(reason: "expected Hummingbird, NIO or FlyingFox, found \(host)")
    }
}

private let constant = #"{"token": "\#(String(repeating: "x", count: 400))"}"#

private let silent = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }

private func announce(_ port: Int) {
    print(port)
    fflush(nil)
}

private func endpoints(vendor: String) throws -> EndpointSet {
    let transport = try CurlTransport()
    let vendor = try Vendor(profile: .alternativePayments, baseURL: vendor)
    let credentials = EnvironmentCredentials(
        clientID: "ID", clientSecret: "SECRET", environment: ["ID": "id", "SECRET": "secret"]
    )
    let accessTokens = ClientCredentialsProvider(vendor: vendor, credentials: credentials, transport: transport)
        .caching()
    let checkoutTokens = CheckoutTokenProvider(vendor: vendor, accessTokens: accessTokens, transport: transport)
    let authenticator = ClosureAuthenticator { _ in Principal(subject: "benchmark") }
    let policy = ClosurePolicy(binds: .session) { _, _ in true }
    func endpoint(_ path: RoutePath, _ tokens: any TokenProvider) -> CheckoutTokenEndpoint {
        CheckoutTokenEndpoint(
            tokens: tokens, authenticator: authenticator, policy: policy,
            configuration: .init(environment: "demo", path: path, limits: .withoutQuotas), logger: silent)
    }
    return EndpointSet([endpoint("/cached", checkoutTokens.caching()), endpoint("/uncached", checkoutTokens)])
}

private func serveHummingbird(_ endpoints: EndpointSet) async throws {
    let router = Router(context: BrokerRequestContext.self)
    router.post("/constant") { request, _ in
        _ = try await request.body.collect(upTo: 1 << 16)
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: constant))
        )
    }
    router.mount(endpoints)
    let application = Application(
        router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in announce(channel.localAddress?.port ?? 0) },
        logger: silent
    )
    try await application.run()
}

private func serveNIO(_ endpoints: EndpointSet) async throws {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(ChannelOptions.backlog, value: 256)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
                try pipeline.addHandler(TokenBrokerNIO.EndpointSetHandler(endpoints))
                try pipeline.addHandler(ConstantHandler())
            }
        }
        .bind(host: "127.0.0.1", port: 0).get()
    announce(channel.localAddress?.port ?? 0)
    try await channel.closeFuture.get()
}

private final class ConstantHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let length = "\(constant.utf8.count)"
        let headers: NIOHTTP1.HTTPHeaders = ["Content-Type": "application/json", "Content-Length": length]
        context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: headers))), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: constant)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}

private func serveFlyingFox(_ endpoints: EndpointSet) async throws {
    let address = try sockaddr_in.inet(ip4: "127.0.0.1", port: 0)
    let server = HTTPServer(
        config: .init(address: address, sharedRequestReplaySize: 0, logger: DisabledLogger.disabled)
    )
    await server.appendRoute("POST /constant") { request in
        _ = try await request.bodyData
        return FlyingFox.HTTPResponse(
            statusCode: .ok, headers: [.contentType: "application/json"], body: Data(constant.utf8)
        )
    }
    await server.mount(endpoints)
    async let run: Void = server.run()
    try await server.waitUntilListening()
    if case .ip4(_, let port)? = await server.listeningAddress { announce(Int(port)) }
    try await run
}
