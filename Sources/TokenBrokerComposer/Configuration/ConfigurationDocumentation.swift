#if ConfigurationSupport
import FoundationEssentials
import TokenBroker

/// The configuration keys and plug-ins that are available with a given ``Registry``.
///
/// It is generated from the declarations that also drive reading, so it is never out of date.
public struct ConfigurationDocumentation: Sendable, Encodable {
    /// The keys that belong to no plug-in, in the order of the sections.
    public var keys: [Key]
    /// The plug-ins, grouped by kind.
    public var plugins: [PluginEntry]

    /// A configuration key.
    public struct Key: Sendable, Encodable {
        /// The full name, such as `server.port`.
        public var name: String
        /// The accepted values in words, such as `a whole number from 0 to 65535`.
        public var type: String
        /// The default value as written in a file; `nil` if there is none.
        public var defaultText: String?
        /// A Boolean value that indicates whether the key is required.
        public var isRequired: Bool
        /// A short description of the key.
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

    /// A plug-in that a configuration can choose by its id.
    public struct PluginEntry: Sendable, Encodable {
        /// The id.
        public var id: String
        /// The kind of plug-in, such as `transport` or `credential source`.
        public var kind: String
        /// The key that chooses the plug-in, such as `transport.kind`.
        public var chosenBy: String
        /// The package trait that provides the plug-in; `nil` if it needs none.
        public var trait: String?
        /// A Boolean value that indicates whether this program includes the plug-in.
        public var isAvailable: Bool
        /// A short description of the plug-in.
        public var summary: String
        /// The keys that the plug-in reads; empty if the program does not include it.
        public var keys: [Key]

        enum CodingKeys: String, CodingKey {
            case id, kind, chosenBy, trait, isAvailable = "available", summary, keys
        }
    }
}

extension Registry {
    /// The keys and plug-ins that a configuration can use with this registry.
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
                + entries(assertionSigners, "client assertion signer", "vendor.assertion.kind") { _ in
                    ["vendor", "assertion"]
                }
                + entries(authenticators, "authenticator", "access.authenticator.kind") { _ in
                    ["access", "authenticator"]
                }
                + entries(policies, "policy", "access.policy.kind") { _ in ["access", "policy"] }
                + entries(fleetStores, "fleet store", "fleet.store") { ["fleet", $0] }
                + profiles
        )
    }

    /// Returns an entry for each plug-in of one kind, sorted by id.
    /// - Parameter section: Returns the section that holds the keys of the plug-in with the given id.
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
    /// The documentation as plain text, for a terminal.
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

    /// The documentation as two Markdown tables: the keys, and the plug-ins.
    public var markdown: String {
        var lines = ["| key | value | default | description |", "| --- | --- | --- | --- |"]
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
        lines += ["", "| plug-in | chosen by | trait | description |", "| --- | --- | --- | --- |"]
        for plugin in plugins {
            lines.append(
                row(["`\(plugin.id)`", "`\(plugin.chosenBy)`", plugin.trait.map { "`\($0)`" } ?? "", plugin.summary])
            )
        }
        return lines.joined(separator: "\n")
    }

    /// The documentation as a JSON object.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Encoding strings and Booleans does not fail.
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
