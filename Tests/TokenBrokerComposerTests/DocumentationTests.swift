#if ConfigurationSupport
import Foundation
import Testing
import TokenBroker

@testable import TokenBrokerComposer

private struct ShopOrdersKeys: ConfigurationKeys {
    let url = ConfigurationKey("url", .text, "Where to ask.")
}

@Suite struct `The documentation of a registry` {
    private let documentation = Registry.everything.documentation

    @Test func `has every key, of the sections and of the plug-ins`() {
        let names = (documentation.keys + documentation.plugins.flatMap(\.keys)).map(\.name)
        #expect(Set(names).isSuperset(of: keyCases.map(\.key)))
        #expect(Set(names).isSuperset(of: refusedOfPlugins.map(\.key)))
        #expect(
            Set(names).isSuperset(of: ["access.authenticator.kind", "access.policy.kind", "credentials.file.path"]))
        #expect(Set(documentation.keys.map(\.name)).count == documentation.keys.count)
    }

    @Test func `tells type, range and default`() throws {
        let port = try #require(documentation.keys.first { $0.name == "server.port" })
        #expect(port.type == "a whole number from 0 to 65535")
        #expect(port.defaultText == "8080")
        #expect(!port.isRequired)
        let environment = try #require(documentation.keys.first { $0.name == "vendor.environment" })
        #expect(environment.isRequired && environment.defaultText == nil)
        let pace = try #require(documentation.keys.first { $0.name == "tokens.burst" })
        #expect(!pace.isRequired && pace.defaultText == nil)
    }

    @Test func `has what a program registers, with the keys where they stand`() throws {
        var registry = Registry.everything
        try registry.register(
            PolicyPlugin(
                "shop-orders", "Asks a|b.", keys: ShopOrdersKeys()
            ) { _, _ in OpenModePolicy() }
        )
        let documentation = registry.documentation
        let policy = try #require(documentation.plugins.first { $0.id == "shop-orders" })
        #expect(policy.chosenBy == "access.policy.kind" && policy.isAvailable)
        #expect(policy.keys.map(\.name) == ["access.policy.url"])
        #expect(documentation.text.contains("    access.policy.url: text; required\n"))
        #expect(
            documentation.markdown.contains(
                "\n| `access.policy.url` | text | required | `shop-orders`: Where to ask. |\n"))
        #expect(documentation.markdown.contains("| Asks a\\|b. |"))
        let json = try JSONValue.parse(Array(documentation.json.utf8))
        #expect(json["plugins"] != nil && json["keys"] != nil)
    }

    @Test func `shows each key of a plug-in once`() {
        let rows = documentation.markdown.split(separator: "\n").filter { $0.hasPrefix("| `credentials.file.path`") }
        #expect(rows.count == 1)
    }
}

@Suite struct `A plug-in whose trait is off` {
    @Test func `is answered with the trait, and not offered`() throws {
        var registry = Registry.everything
        try registry.register(
            CredentialPlugin(
                "from-afar", "Comes from afar.", trait: "AfarSupport",
                missing: "from-afar, which this program was built without: it needs the trait AfarSupport"))
        let values = minimal.with(["credentials.sources": "[file, from-afar]", "credentials.file.path": "/x"])
        let problem = try #require(problems(values, registry: registry).first)
        #expect(problem.message.contains("found from-afar, which this program was built without"))
        #expect(problem.message.contains("needs the trait AfarSupport"))
        #expect(!problem.message.contains("one of environment, file, from-afar"))
        let entry = try #require(registry.documentation.plugins.first { $0.id == "from-afar" })
        #expect(!entry.isAvailable && entry.trait == "AfarSupport")
        #expect(registry.documentation.text.contains("trait AfarSupport, which is off"))
    }
}

@Suite struct `The README` {
    private let package = URL(filePath: #filePath).appending(path: "../../..").standardized

    /// Swift below a folder, without build folders.
    private func sources(in folder: String) throws -> [String] {
        let enumerator = FileManager.default.enumerator(
            at: package.appending(path: folder), includingPropertiesForKeys: nil, options: .skipsHiddenFiles)
        return try (enumerator?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
            .map { try String(contentsOf: $0, encoding: .utf8) }
    }

    /// Lines without what they are indented by, each with its end.
    private func lines(_ text: some StringProtocol) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.trimmingPrefix { $0 == " " } + "\n" }.joined()
    }

    @Test func `shows only Swift that a sample or a test compiles and runs`() throws {
        let readme = try String(contentsOf: package.appending(path: "README.md"), encoding: .utf8)
        let compiled = try (sources(in: "Samples") + sources(in: "Tests")).map(lines)
        let blocks = readme.components(separatedBy: "```swift\n").dropFirst()
            .map { $0.components(separatedBy: "```")[0] }
        #expect(blocks.count >= 7)
        // A manifest names an address that only a release has.
        for block in blocks where !block.hasPrefix("// swift-tools-version") {
            let isCompiled = compiled.contains { $0.contains(lines(block.dropLast())) }
            #expect(isCompiled, "In no sample and no test:\n\(block)")
        }
    }
}
#endif
