#if RedisSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension FleetStorePlugin {
    /// The `redis` store, which a fleet shares.
    public static var redis: Self {
        Self(
            "redis", "A Redis server, alone or with Sentinels.", trait: "RedisSupport", keys: RedisKeys(),
            check: RedisKeys.check
        ) { context, values in
            let tls = RedisStore.Configuration.TLS(
                caFile: values.caFile, clientCertificate: values.clientCertificate, clientKey: values.clientKey)
            var configuration: RedisStore.Configuration
            do throws(RedisStore.Configuration.Invalid) {
                if let url = values.url {
                    configuration = try .init(url: url, tls: tls, allowsPlaintext: values.plaintext)
                } else {
                    configuration = try .init(
                        sentinels: values.sentinels, primary: values.primary ?? "", tls: tls,
                        allowsPlaintext: values.plaintext)
                }
            } catch {
                throw ConfigurationError.Problem(
                    .invalid, key: values.url == nil ? "sentinels" : "url", error.reason)
            }
            configuration.username = values.username
            if let path = values.passwordFile {
                let password = SharedSecrets(file: path, minimumBytes: 1, logger: context.logger)
                do throws(CredentialError) {
                    _ = try password.load()
                } catch {
                    throw ConfigurationError.Problem.unusable("passwordFile", error)
                }
                configuration.password = password
            }
            configuration.timeout = values.timeout
            configuration.prefix = values.prefix
            return RedisStore(configuration: configuration, logger: context.logger)
        }
    }
}

private struct RedisKeys: ConfigurationKeys {
    let url = ConfigurationKey(
        "url", .optional(.url(like: "rediss://host[:port], or redis://host[:port] to a loopback host")), default: nil,
        "The server. A password in the URL is refused. Either this or `sentinels`."
    )
    let sentinels = ConfigurationKey(
        "sentinels", .list(of: .url(like: "host:port or rediss://host:port")), default: [],
        "The Sentinels that name the primary. With `rediss://`, the primary uses TLS, too."
    )
    let primary = ConfigurationKey(
        "primary", .optional(.text), default: nil, "The name of the primary. Required with `sentinels`.")
    let username = ConfigurationKey(
        "username", .optional(.text), default: nil, "The user (Redis ACL). By default, the default user.")
    let passwordFile = ConfigurationKey(
        "passwordFile", .optional(.text), default: nil,
        "The file with the password. It is read again when it changes."
    )
    let caFile = ConfigurationKey(
        "caFile", .optional(.text), default: nil,
        "The file with the certificate authorities to trust. By default, the system's."
    )
    let clientCertificate = ConfigurationKey(
        "clientCertificate", .optional(.text), default: nil, "The file with the client's certificate.")
    let clientKey = ConfigurationKey(
        "clientKey", .optional(.text), default: nil,
        "The file with the key of `clientCertificate`. By default, the same file."
    )
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(10)), default: .milliseconds(100),
        "The timeout of each command. A command that takes longer closes the connection."
    )
    let prefix = ConfigurationKey(
        "prefix",
        .text.filter("1 to 64 letters, digits, or any of -_.") { text in
            (1...64).contains(text.utf8.count)
                && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
        },
        default: "token-broker",
        "The prefix of all keys. Two client IDs on one server need two prefixes."
    )
    let plaintext = ConfigurationKey(
        "plaintext", .flag, default: false, "Whether a server on another machine may be used without TLS.")

    @Sendable static func check(_ values: ConfigurationValues<Self>) throws(ConfigurationError.Problem) {
        switch (values.url, values.sentinels.isEmpty) {
        case (nil, true):
            throw ConfigurationError.Problem(.missing, key: "url", "expected a URL or sentinels, found neither")
        case (.some, false):
            throw ConfigurationError.Problem(.conflict, key: "url", "expected either url or sentinels, found both")
        default: break
        }
        if !values.sentinels.isEmpty, values.primary == nil {
            throw ConfigurationError.Problem(
                .missing, key: "primary", "expected the name of the primary, found nothing")
        }
        if values.clientKey != nil, values.clientCertificate == nil {
            throw ConfigurationError.Problem(
                .conflict, key: "clientKey", "expected clientCertificate as well, found only clientKey")
        }
    }
}

extension ConfigurationType where Value == String {
    /// Text that errors do not show, because it may hold a password.
    fileprivate static func url(like description: String) -> Self { .text.filter(description) { _ in true } }
}
#endif
