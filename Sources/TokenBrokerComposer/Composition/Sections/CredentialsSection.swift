#if ConfigurationSupport
import TokenBroker

/// The section `credentials`: the sources of the client id and secret.
enum CredentialsSection {
    static let path = ["credentials"]

    struct Keys: ConfigurationKeys {
        let sources: ConfigurationKey<[String]>

        init(_ registry: Registry) {
            let type = ConfigurationType.list(of: .id(of: registry.credentialSources))
            sources = ConfigurationKey(
                "sources",
                type.filter("\(type), with at least one element and no duplicates") {
                    !$0.isEmpty && Set($0).count == $0.count
                },
                default: ["environment"],
                "The sources of the client id and secret, in order. The first source that has credentials is used; a "
                    + "broken source stops the search."
            )
        }
    }

    static func read(_ reader: ConfigurationReader, _ registry: Registry) -> [Choice<CredentialPlugin.Build>]? {
        let sources = reader.read(Keys(registry), in: path)?.sources
        for id in registry.credentialSources.keys.sorted() where sources?.contains(id) != true {
            if sources != nil, reader.isSet(path + [id]) {
                reader.warn("credentials.\(id) has no effect, since credentials.sources does not list \(id)")
            }
            reader.skip(path + [id])
        }
        // Reads the keys of every source even after a failure, so that all problems are recorded.
        let choices = sources?.map { reader.choice($0, registry.credentialSources, registry, in: path + [$0]) }
        guard let choices, !choices.contains(where: { $0 == nil }) else { return nil }
        return choices.compactMap(\.self)
    }
}
#endif
