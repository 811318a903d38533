#if ConfigurationSupport
import TokenBroker

/// The section `credentials`: where to look for the client id and secret.
enum CredentialsSection {
    static let path = ["credentials"]

    struct Keys: ConfigurationKeys {
        let sources: ConfigurationKey<[String]>

        init(_ registry: Registry) {
            let type = ConfigurationType.list(of: .id(of: registry.credentialSources))
            sources = ConfigurationKey(
                "sources",
                type.filter("\(type), with at least one element, and none twice") {
                    !$0.isEmpty && Set($0).count == $0.count
                },
                default: ["environment"],
                "Where to look for the client id and secret, in this order: the first that has a pair counts, a broken one stops."
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
        // Every source's keys are read before the first failure ends it.
        let choices = sources?.map { reader.choice($0, registry.credentialSources, registry, in: path + [$0]) }
        guard let choices, !choices.contains(where: { $0 == nil }) else { return nil }
        return choices.compactMap(\.self)
    }
}
#endif
