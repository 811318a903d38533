// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "custom-plugins",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "token-broker", path: "../..", traits: ["ConfigurationSupport"]),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        .executableTarget(
            name: "CustomPlugins",
            dependencies: [
                .product(name: "TokenBroker", package: "token-broker"),
                .product(name: "TokenBrokerComposer", package: "token-broker"),
                // Only for the in-memory vendor of this sample.
                .product(name: "TokenBrokerTesting", package: "token-broker"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
            ]
        )
    ]
)
