#if ConfigurationSupport
import TokenBroker

/// The section `fleet`: what several processes with one account share.
enum FleetSection {
    static let path = ["fleet"]

    struct Keys: ConfigurationKeys {
        let store: ConfigurationKey<String?>
        let processes = ConfigurationKey(
            "processes", .optional(.integer(1...1_000)), default: nil,
            "The number of processes. Each has this share of the rate limit while the store is lost. Required with "
                + "`store`."
        )
        let keyFile = ConfigurationKey(
            "keyFile", .optional(.text), default: nil,
            "The file with the keys that seal what is stored: one to four lines, each 32 bytes as base64. The first one "
                + "seals, all of them open. Required with `store`."
        )

        init(_ registry: Registry) {
            store = ConfigurationKey(
                "store", .optional(.id(of: registry.fleetStores)), default: nil,
                "The store that the processes share. By default, there is only one process."
            )
        }
    }

    struct Settings: Sendable {
        var store: Choice<FleetStorePlugin.Build>
        var processes: Int
        var keyFile: String
        var sealing: @Sendable ([Secret]) throws -> any Sealing

        /// Returns the sealing with the keys in the file.
        func seal() throws(ConfigurationError.Problem) -> any Sealing {
            let keys = try ConfigurationError.Problem.attributing(to: "fleet.keyFile") { () throws(CredentialError) in
                try SharedSecrets(file: keyFile, minimumBytes: 32).load()
            }
            do {
                return try sealing(keys)
            } catch {
                throw ConfigurationError.Problem(.failed, key: "fleet.keyFile", "it cannot be used: \(loggable(error))")
            }
        }
    }

    /// - Returns: The settings; an inner `nil` without a fleet, and an outer `nil` after a problem.
    static func read(_ reader: ConfigurationReader, _ registry: Registry) -> Settings?? {
        let values = reader.read(Keys(registry), in: path)
        for id in registry.fleetStores.keys.sorted() where values?.store != id {
            if values != nil, reader.isSet(path + [id]) {
                reader.warn("fleet.\(id) has no effect, since fleet.store is not \(id)")
            }
            reader.skip(path + [id])
        }
        guard let values else { return nil }
        guard let id = values.store else {
            for key in ["processes", "keyFile"] where reader.isSet(path + [key]) {
                reader.warn("fleet.\(key) has no effect, since fleet.store is not set")
            }
            return .some(nil)
        }
        let store = reader.choice(id, registry.fleetStores, registry, in: path + [id])
        if values.processes == nil {
            reader.note(.missing, path + ["processes"], message: "expected the number of processes, found nothing")
        }
        if values.keyFile == nil {
            reader.note(.missing, path + ["keyFile"], message: "expected a file with keys, found nothing")
        }
        guard let sealing = registry.sealing else {
            reader.note(
                .conflict, path + ["store"],
                message: "expected no store, because sealing needs the trait CryptoSupport, and "
                    + "`registry.replaceSealing { try FleetSealing(keys: $0) }` with `import TokenBrokerCrypto`; found one"
            )
            return nil
        }
        guard let store, let processes = values.processes, let keyFile = values.keyFile else { return nil }
        return .some(Settings(store: store, processes: processes, keyFile: keyFile, sealing: sealing))
    }
}
#endif
