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

    @Test func `a registry's documentation has every key of the sections and plug-ins`() {
        let names = (documentation.keys + documentation.plugins.flatMap(\.keys)).map(\.name)
        #expect(Set(names).isSuperset(of: keyCases.map(\.key)))
        #expect(Set(names).isSuperset(of: refusedOfPlugins.map(\.key)))
        #expect(
            Set(names).isSuperset(of: ["access.authenticator.kind", "access.policy.kind", "credentials.file.path"]))
        #expect(Set(documentation.keys.map(\.name)).count == documentation.keys.count)
    }

    @Test func `a registry's documentation has each key's type, range and default`() throws {
        let port = try #require(documentation.keys.first { $0.name == "server.port" })
        #expect(port.type == "a whole number from 0 to 65535")
        #expect(port.defaultText == "8080")
        #expect(!port.isRequired)
        let environment = try #require(documentation.keys.first { $0.name == "vendor.environment" })
        #expect(environment.isRequired && environment.defaultText == nil)
        let pace = try #require(documentation.keys.first { $0.name == "tokens.burst" })
        #expect(!pace.isRequired && pace.defaultText == nil)
    }

    @Test func `a registry's documentation includes the plug-ins that a program registers`() throws {
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

    @Test func `a registry's documentation shows each key of a plug-in once`() {
        let rows = documentation.markdown.split(separator: "\n").filter { $0.hasPrefix("| `credentials.file.path`") }
        #expect(rows.count == 1)
    }
}

@Suite struct `A plug-in whose trait is off` {
    @Test func `a plug-in whose trait is off is reported with that trait and is not offered`() throws {
        var registry = Registry.everything
        try registry.register(
            CredentialPlugin(
                "from-afar", "Comes from afar.", trait: "AfarSupport",
                remedy: "from-afar needs the trait AfarSupport"))
        let values = minimal.with(["credentials.sources": "[file, from-afar]", "credentials.file.path": "/x"])
        let problem = try #require(problems(values, registry: registry).first)
        #expect(problem.message.contains("found from-afar as element 2; from-afar needs the trait AfarSupport"))
        #expect(!problem.message.contains("one of environment, file, from-afar"))
        let entry = try #require(registry.documentation.plugins.first { $0.id == "from-afar" })
        #expect(!entry.isAvailable && entry.trait == "AfarSupport")
        #expect(registry.documentation.text.contains("trait AfarSupport, which is off"))
    }
}

@Suite struct `The pages` {
    private let package = URL(filePath: #filePath).appending(path: "../../..").standardized

    /// Files below a folder, without build folders.
    private func files(in folder: String, _ extension: String) throws -> [(name: String, text: String)] {
        let root = package.appending(path: folder)
        let enumerator = FileManager.default.enumerator(
            at: root, includingPropertiesForKeys: nil, options: .skipsHiddenFiles)
        return try (enumerator?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == `extension` }
            .map { (String($0.path.dropFirst(package.path.count + 1)), try String(contentsOf: $0, encoding: .utf8)) }
    }

    /// Lines without their indentation, each with its end.
    private func lines(_ text: some StringProtocol) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.trimmingPrefix { $0 == " " } + "\n" }.joined()
    }

    @Test func `show only Swift that a sample or a test compiles and runs`() throws {
        let readme = try String(contentsOf: package.appending(path: "README.md"), encoding: .utf8)
        let pages =
            try [("README.md", readme)] + files(in: "docs", "md") + files(in: "Sources", "md")
            + files(in: "Adapters", "md") + files(in: "Samples", "md")
        let compiled = try ["Samples", "Tests", "Adapters", "Sources"].flatMap { try files(in: $0, "swift") }
            .map { lines($0.text) }
        var count = 0
        for (name, text) in pages {
            for block in text.components(separatedBy: "```swift\n").dropFirst().map({
                $0.components(separatedBy: "```")[0]
            }) {
                count += 1
                // Samples take the package from the folder that they are in; others take a release.
                let code = lines(block.dropLast())
                    .replacing(
                        #"url: "https://example.com/token-broker", from: "0.1.0""#,
                        with: #"name: "token-broker", path: "../..""#)
                #expect(
                    compiled.contains { $0.contains(code) }, "\(name) shows what no sample and no test has:\n\(block)")
            }
        }
        #expect(count >= 20)
    }
}
#endif
