#if ConfigurationSupport
import FoundationEssentials
import TokenBroker

/// Everything that a configuration file can say to a program with a given ``Registry``: keys and plug-ins.
///
/// It is made of the declarations that the configuration is read with, so it is never out of date.
public struct ConfigurationDocumentation: Sendable, Encodable {
    /// Every key that belongs to no plug-in, in the order of the sections.
    public var keys: [Key]
    /// Every plug-in, those of a kind together.
    public var plugins: [PluginEntry]

    /// A key of the file.
    public struct Key: Sendable, Encodable {
        /// In full: `server.port`.
        public var name: String
        /// What is accepted: `a whole number from 0 to 65535`.
        public var type: String
        /// As it would be written in a file; `nil` if there is none.
        public var defaultText: String?
        /// Whether it has to be there.
        public var isRequired: Bool
        /// What it is for.
        public var summary: String

        enum CodingKeys: String, CodingKey {
            case name, type, isRequired = "required", summary
            case defaultText = "default"
        }

        init(_ key: KeyDocumentation, in section: [String]) {
            name = (section + [key.name]).joined(separator: ".")
            type = key.type
            defaultText = key.defaultText == "none" ? nil : key.defaultText
            isRequired = key.defaultText == nil
            summary = key.summary
        }
    }

    /// A part that can be chosen by its id.
    public struct PluginEntry: Sendable, Encodable {
        /// What the file calls it.
        public var id: String
        /// What it is a kind of: `transport`, `credential source`.
        public var kind: String
        /// The key that chooses it: `transport.kind`.
        public var chosenBy: String
        /// The trait of the package that brings it; `nil` if it is always there.
        public var trait: String?
        /// Whether this program has it: its trait is on.
        public var isAvailable: Bool
        /// What it is.
        public var summary: String
        /// What it reads; empty without its trait.
        public var keys: [Key]

        enum CodingKeys: String, CodingKey {
            case id, kind, chosenBy, trait, isAvailable = "available", summary, keys
        }
    }
}

extension Registry {
    /// What a configuration can say with these parts.
    public var documentation: ConfigurationDocumentation {
        let profiles = profiles.values.sorted { $0.id < $1.id }.map { profile in
            ConfigurationDocumentation.PluginEntry(
                id: profile.id, kind: "vendor profile", chosenBy: "vendor.profile", trait: nil, isAvailable: true,
                summary: "Environments: \(profile.environments.keys.sorted().joined(separator: ", ")).", keys: []
            )
        }
        return ConfigurationDocumentation(
            keys: Settings.documentation(self),
            plugins: entries(transports, "transport", "transport.kind") { _ in ["transport"] }
                + entries(credentialSources, "credential source", "credentials.sources") { ["credentials", $0] }
                + entries(assertionSigners, "signer of client assertions", "vendor.assertion.kind") { _ in
                    ["vendor", "assertion"]
                }
                + entries(authenticators, "authenticator", "access.authenticator.kind") { _ in
                    ["access", "authenticator"]
                }
                + entries(policies, "policy", "access.policy.kind") { _ in ["access", "policy"] }
                + profiles
        )
    }

    /// - Parameter section: Where the keys of the plug-in with that id stand.
    private func entries<Context, Part>(
        _ plugins: [String: Plugin<Context, Part>], _ kind: String, _ key: String,
        section: (_ id: String) -> [String]
    ) -> [ConfigurationDocumentation.PluginEntry] {
        plugins.values.sorted { $0.id < $1.id }.map { plugin in
            ConfigurationDocumentation.PluginEntry(
                id: plugin.id, kind: kind, chosenBy: key, trait: plugin.trait, isAvailable: plugin.read != nil,
                summary: plugin.summary, keys: plugin.keys.map { .init($0, in: section(plugin.id)) }
            )
        }
    }
}

// MARK: As text

extension ConfigurationDocumentation {
    /// For a terminal.
    public var text: String {
        var lines = ["Keys"]
        for key in keys { lines += key.lines }
        for plugin in plugins {
            var title = "\(plugin.kind) \(plugin.id)"
            if let trait = plugin.trait { title += " (trait \(trait)\(plugin.isAvailable ? "" : ", which is off"))" }
            lines += ["", title, "    \(plugin.summary) Chosen by \(plugin.chosenBy)."]
            for key in plugin.keys { lines += key.lines }
        }
        return lines.joined(separator: "\n")
    }

    /// Two tables, as in the README: all keys, and all plug-ins.
    public var markdown: String {
        var lines = ["| key | what it takes | default | what it is for |", "| --- | --- | --- | --- |"]
        var remaining = plugins[...]
        for (index, key) in keys.enumerated() {
            lines.append(key.row(of: nil))
            // The keys of the plug-ins come at the end of the section that chooses them.
            let section = key.name.section
            if keys[(index + 1)...].contains(where: { $0.name.section == section }) { continue }
            for plugin in remaining where plugin.chosenBy.section == section {
                lines += plugin.keys.map { $0.row(of: plugin.id) }
            }
            remaining.removeAll { $0.chosenBy.section == section }
        }
        lines += ["", "| plug-in | chosen by | trait | what it is |", "| --- | --- | --- | --- |"]
        for plugin in plugins {
            lines.append(
                row(["`\(plugin.id)`", "`\(plugin.chosenBy)`", plugin.trait.map { "`\($0)`" } ?? "", plugin.summary])
            )
        }
        return lines.joined(separator: "\n")
    }

    /// Keys and plug-ins as an object, in UTF-8.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Strings and flags can be encoded.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

extension ConfigurationDocumentation.Key {
    fileprivate var lines: [String] {
        let value = isRequired ? "required" : defaultText.map { "default \($0)" } ?? "optional"
        return ["    \(name): \(type); \(value)", "        \(summary)"]
    }

    fileprivate func row(of plugin: String?) -> String {
        TokenBrokerComposer.row([
            "`\(name)`", type, isRequired ? "required" : defaultText.map { "`\($0)`" } ?? "",
            plugin.map { "`\($0)`: \(summary)" } ?? summary,
        ])
    }
}

extension String {
    fileprivate var section: Substring { self[..<(lastIndex(of: ".") ?? endIndex)] }
}

private func row(_ cells: [String]) -> String {
    "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
}
#endif
