#if ConfigurationSupport
import Logging
import TokenBroker

/// The section `audit`: how the log names principals.
enum AuditSection {
    static let path = ["audit"]

    struct Keys: ConfigurationKeys {
        let keyFile = ConfigurationKey(
            "keyFile", .optional(.text), default: nil,
            "The file with the key for the hashes of principals in the log (HMAC-SHA256), at least 16 bytes. By "
                + "default, each process uses a random key."
        )
        let keyVariable = ConfigurationKey(
            "keyVariable", .optional(.variableName), default: nil,
            "The variable that holds the key, instead of a file."
        )
    }

    /// The place of the key, and the hash that uses it.
    struct Settings: Sendable {
        enum Key: Sendable {
            case file(String)
            case variable(String)
        }
        var key: Key
        var hash: any KeyedHash

        /// The place of the key in the configuration.
        var section: [String] {
            switch key {
            case .file: path + ["keyFile"]
            case .variable: path + ["keyVariable"]
            }
        }

        /// Returns the function that names principals in the log: the first 128 bits of a keyed hash of tenant and
        /// subject.
        func pseudonym(
            environment: [String: String], logger: Logger? = nil
        ) throws(ConfigurationError.Problem) -> @Sendable (Principal) -> String {
            let secrets =
                switch key {
                case .file(let path): SharedSecrets(file: path, logger: logger)
                case .variable(let name): SharedSecrets(variable: name, in: environment, logger: logger)
                }
            let secret = try ConfigurationError.Problem.attributing(to: nil) { () throws(CredentialError) in
                try secrets.load().first
            }
            let key = secret ?? Secret("")
            return { [hash] principal in
                let message = Array(principal.tenant.utf8) + [0] + Array(principal.subject.utf8)
                return hash.code(for: message, key: key).prefix(16).map { byte in
                    let digits = String(byte, radix: 16)
                    return byte < 16 ? "0" + digits : digits
                }
                .joined()
            }
        }
    }

    /// - Returns: The settings; an inner `nil` if no key is set, and an outer `nil` after a problem.
    static func read(_ reader: ConfigurationReader, _ registry: Registry) -> Settings?? {
        guard let values = reader.read(Keys(), in: path) else { return nil }
        let key: Settings.Key
        switch (values.keyFile, values.keyVariable) {
        case (nil, nil): return .some(nil)
        case (let file?, nil): key = .file(file)
        case (nil, let variable?): key = .variable(variable)
        case (.some, .some):
            reader.note(.conflict, path + ["keyFile"], message: "expected keyFile or keyVariable, found both")
            return nil
        }
        guard let hash = registry.keyedHash else {
            reader.note(
                .conflict, path + [values.keyFile != nil ? "keyFile" : "keyVariable"],
                message: "expected no key, because hashing with one needs the trait CryptoSupport, and "
                    + "`registry.replace(HMACSHA256())` with `import TokenBrokerCrypto`; found one"
            )
            return nil
        }
        return .some(Settings(key: key, hash: hash))
    }
}
#endif
