#if ConfigurationSupport
import TokenBroker

/// The values of a valid configuration, and closures that build the parts that it chooses. Nothing is built yet.
struct Settings: Sendable {
    var server: ServerSettings
    var vendor: VendorSection.Settings
    var transport: TransportSection.Settings
    var credentials: [Choice<CredentialPlugin.Build>]
    var route: ConfigurationValues<RouteSection.Keys>
    var health: ConfigurationValues<HealthSection.Keys>
    var access: AccessSection.Settings
    var tokens: TokensSection.Settings
    var limits: RequestLimits
    var audit: AuditSection.Settings?
    var metrics: MetricsSettings?
    var fleet: FleetSection.Settings?

    /// Reads all sections even after a failure, so that all problems are reported at once. Returns `nil` if there are
    /// problems, which `reader` has recorded.
    /// - Parameter choosesTransport: Whether a transport is to be built.
    init?(_ reader: ConfigurationReader, _ registry: Registry, choosesTransport: Bool = true) {
        let server = ServerSection.read(reader)
        let vendor = VendorSection.read(reader, registry)
        let credentials = CredentialsSection.read(reader, registry)
        let transport = TransportSection.read(reader, registry, isChosen: choosesTransport)
        let route = RouteSection.read(reader)
        let health = HealthSection.read(reader, route)
        let access = AccessSection.read(reader, registry)
        let tokens = TokensSection.read(reader, vendor?.vendor.profile)
        var isOpen = false
        if case .open? = access {
            isOpen = true
            AccessSection.checkOpenMode(reader, server, vendor)
        }
        let limits = QuotasSection.read(reader, isOpen: isOpen)
        let audit = AuditSection.read(reader, registry)
        let metrics = MetricsSection.read(reader)
        let fleet = FleetSection.read(reader, registry)
        reader.finish()
        guard reader.problems.isEmpty, let server, let vendor, let credentials, let transport, let route, let health,
            let access, let tokens, let limits, let audit, let metrics, let fleet
        else { return nil }
        self.server = server
        self.vendor = vendor
        self.credentials = credentials
        self.transport = transport
        self.route = route
        self.health = health
        self.access = access
        self.tokens = tokens
        self.limits = limits
        self.limits.trustedProxies = server.trustedProxies
        self.limits.concurrentRequests = route.concurrentRequests
        self.audit = audit
        self.metrics = metrics
        self.fleet = fleet
    }

    /// Returns the keys of all sections, in the usual order of a file.
    static func documentation(_ registry: Registry) -> [ConfigurationDocumentation.Key] {
        func keys(_ keys: some ConfigurationKeys, _ section: [String]) -> [ConfigurationDocumentation.Key] {
            keys.documentation.map { ConfigurationDocumentation.Key($0, in: section) }
        }
        return keys(ServerSection.Keys(), ServerSection.path)
            + keys(VendorSection.ProfileKeys(registry), VendorSection.path)
            + keys(VendorSection.Keys(), VendorSection.path)
            + keys(AssertionSection.Keys(registry), AssertionSection.path)
            + keys(CredentialsSection.Keys(registry), CredentialsSection.path)
            + keys(TransportSection.Keys(registry), TransportSection.path)
            + keys(RouteSection.Keys(), RouteSection.path)
            + keys(HealthSection.Keys(), HealthSection.path)
            + keys(AccessSection.Keys(), AccessSection.path)
            + keys(AccessSection.AuthenticatorKeys(registry), AccessSection.path + ["authenticator"])
            + keys(AccessSection.PolicyKeys(registry), AccessSection.path + ["policy"])
            + keys(TokensSection.Keys(), TokensSection.path)
            + QuotasSection.quotas.flatMap { keys($0.keys, QuotasSection.path + [$0.name]) }
            + keys(QuotasSection.Keys(), QuotasSection.path)
            + keys(AuditSection.Keys(), AuditSection.path)
            + keys(MetricsSection.Keys(), MetricsSection.path)
            + keys(FleetSection.Keys(registry), FleetSection.path)
    }
}

/// A part to build, and the section that describes it.
struct Choice<Build: Sendable>: Sendable {
    var section: [String]
    var build: Build
}

extension ConfigurationReader {
    /// Reads the keys of the plug-in with the given id.
    func choice<Context, Part>(
        _ id: String?, _ plugins: [String: Plugin<Context, Part>], _ registry: Registry, in section: [String]
    ) -> Choice<Plugin<Context, Part>.Build>? {
        guard let id else {
            // The keys that it would read are unknown, too.
            skip(section)
            return nil
        }
        guard let read = plugins[id]?.read else {
            // Only a default can get here, because an id in the file has already been checked.
            skip(section)
            let names = available(plugins).joined(separator: ", ")
            let remedy = plugins[id]?.remedy ?? "the program has to register it"
            note(
                .missing, section + ["kind"],
                message:
                    "expected \(names.isEmpty ? "a registered id, but none is registered" : "one of " + names), found "
                    + "nothing, and the default, \(id), is not registered; \(remedy)"
            )
            return nil
        }
        return read(self, section, registry).map { Choice(section: section, build: $0) }
    }
}
#endif
