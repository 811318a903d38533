#if CommandSupport && ConfigurationSupport
public import TokenBroker
public import TokenBrokerComposer

extension CredentialPlugin {
    /// The `command` source, which reads credentials that a program prints.
    public static var command: Self {
        Self(
            "command", "Credentials that a program prints: JSON as in a `file`, optionally with `expires_at`.",
            trait: "CommandSupport", keys: CommandKeys()
        ) { context, values in
            let passed = ["HOME"] + values.passEnvironment
            var configuration = CommandCredentials.Configuration()
            configuration.environment = context.environment.filter { passed.contains($0.key) }
            configuration.needsSecret = context.needsSecret
            configuration.timeout = values.timeout
            configuration.refresh = values.refresh
            return CommandCredentials(
                values.run, configuration: configuration, clock: context.clock, wallClock: context.wallClock,
                logger: context.logger
            )
        }
    }
}

private struct CommandKeys: ConfigurationKeys {
    let run = ConfigurationKey(
        "run",
        ConfigurationType.list(of: .text).filter("a list: the absolute path of a program, and its arguments") {
            $0.first?.hasPrefix("/") == true
        },
        "The program and its arguments. It runs without a shell."
    )
    let passEnvironment = ConfigurationKey(
        "passEnvironment", .list(of: .variableName), default: [],
        "Names of environment variables to pass to it besides `PATH`, `HOME` and `LANG`."
    )
    let timeout = ConfigurationKey(
        "timeout", .duration(.milliseconds(1) ... .seconds(60)), default: .seconds(10),
        "How long one run may take before it is killed."
    )
    let refresh = ConfigurationKey(
        "refresh", .duration(.seconds(1) ... .seconds(3600)), default: .seconds(30),
        "How long the output is used before the program runs again, unless it expires earlier."
    )
}
#endif
