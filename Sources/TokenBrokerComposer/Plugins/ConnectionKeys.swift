#if ConfigurationSupport
/// The keys that are common to all transports that open connections.
package enum ConnectionKeys {
    package static let connectTimeout = ConfigurationKey(
        "connectTimeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(3),
        "The timeout for opening a connection, including name resolution and TLS."
    )
    package static let connectionLifetime = ConfigurationKey(
        "connectionLifetime", .duration(.seconds(1) ... .seconds(86_400)), default: .seconds(300),
        "The age after which a connection takes no more requests. A DNS change takes effect within this time."
    )
    package static let caFile = ConfigurationKey(
        "caFile", .optional(.text), default: nil as String?,
        "A PEM file with the certificate authorities to trust instead of the system's."
    )
}
#endif
