// swift-tools-version: 6.2
import PackageDescription

// `make bench` builds it and runs every executable. Each prints one table for each subject: medians of several rounds in which the
// contenders take turns, and their ratio to the first.
let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "token-broker", path: "..", traits: []),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    ],
    targets: [
        .target(name: "CMeasuring"),
        .target(name: "Measuring", dependencies: ["CMeasuring"]),
        .executableTarget(
            name: "CacheBenchmarks",
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
