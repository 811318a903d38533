// swift-tools-version: 6.2
import PackageDescription

// `make bench` builds this package and runs every executable. Each prints one table per subject: medians of several
// rounds, in which the contenders take turns, and their ratios to the first contender.
let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(
            name: "token-broker", path: "..",
            traits: ["CurlSupport", "FlyingFoxSupport", "HummingbirdSupport", "NIOSupport"]
        ),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0", traits: []),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.0"),
    ],
    targets: [
        .target(name: "CMeasuring"),
        .target(name: "Measuring", dependencies: ["CMeasuring"]),
        .executableTarget(
            name: "CacheBenchmarks",
            dependencies: ["Measuring", .product(name: "TokenBroker", package: "token-broker")]
        ),
        .executableTarget(
            name: "JSONBenchmarks",
            dependencies: ["Measuring", .product(name: "TokenBroker", package: "token-broker")]
        ),
        .target(name: "CBareCurl", linkerSettings: [.linkedLibrary("curl")]),
        .executableTarget(
            name: "TransportBenchmarks",
            dependencies: [
                "CBareCurl", "Measuring",
                .product(name: "TokenBroker", package: "token-broker"),
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ]
        ),
        .executableTarget(
            name: "EndpointBenchmarks",
            dependencies: [
                "Measuring",
                .product(name: "TokenBroker", package: "token-broker"),
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "TokenBrokerHummingbird", package: "token-broker"),
                .product(name: "TokenBrokerNIO", package: "token-broker"),
                .product(name: "TokenBrokerFlyingFox", package: "token-broker"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "FlyingSocks", package: "FlyingFox"),
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets {
    target.swiftSettings = [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
}
