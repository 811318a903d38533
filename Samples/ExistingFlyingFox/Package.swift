// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "ExistingFlyingFox",
    platforms: [.macOS(.v15)],
    dependencies: [
        // In your package: url: "https://example.com/token-broker", from: "0.1.0"
        .package(
            name: "token-broker", path: "../..",
            traits: ["ConfigurationSupport", "CurlSupport", "FlyingFoxSupport", "ServiceLifecycleSupport"]
        ),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/swhitty/FlyingFox", from: "0.27.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "ExistingFlyingFox",
            dependencies: [
                .product(name: "CurlTransport", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                .product(name: "TokenBrokerFlyingFox", package: "token-broker"),
                .product(name: "FlyingFox", package: "FlyingFox"),
                .product(name: "FlyingSocks", package: "FlyingFox"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]
        )
    ]
)
