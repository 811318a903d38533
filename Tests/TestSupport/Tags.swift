public import Testing

extension Tag {
    /// Takes seconds: starts processes, or waits in real time.
    @Tag public static var slow: Self
}
