// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "ExistingNIO",
    platforms: [.macOS(.v15)],
    dependencies: [
        // In your package: url: "https://example.com/token-broker", from: "0.1.0"
        .package(
            name: "token-broker", path: "../..",
            traits: ["ConfigurationSupport", "CurlSupport", "NIOSupport", "ServiceLifecycleSupport"]
        ),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "ExistingNIO",
            dependencies: [
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                .product(name: "TokenBrokerNIO", package: "token-broker"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        )
    ]
)
