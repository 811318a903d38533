import Testing
@testable import TokenBrokerPrometheus

struct NumberTests {
    @Test(arguments: [
        (0.0, "0"), (-0.0, "-0"), (1, "1"), (-17, "-17"), (0.1, "0.1"), (1.0 / 3, "0.3333333333333333"),
        (1e-5, "1e-05"), (1_764_200_000.25, "1764200000.25"), (1e15, "1000000000000000"), (1e21, "1e+21"),
        (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"), (-.nan, "NaN"), (.leastNonzeroMagnitude, "5e-324"),
        (.greatestFiniteMagnitude, "1.7976931348623157e+308"),
    ])
    func `a number is the shortest decimal that reads back the same`(value: Double, text: String) {
        #expect(numberText(value) == text)
        if value.isFinite { #expect(Double(numberText(value)) == value) }
    }

    // The examples of OpenMetrics 1.0, and others.
    @Test(arguments: [
        (0.0, "0.0"), (0.001, "0.001"), (0.01, "0.01"), (0.95, "0.95"), (1.0, "1.0"), (1.7, "1.7"), (10.0, "10.0"),
        (1e-10, "1e-10"), (1e-9, "1e-09"), (1e-5, "1e-05"), (0.0001, "0.0001"), (100_000, "100000.0"),
        (1e6, "1e+06"), (1e10, "1e+10"), (1_234_567.5, "1.2345675e+06"), (123_456_789, "1.23456789e+08"),
        (-1e6, "-1e+06"), (-0.5, "-0.5"), (1e300, "1e+300"), (9_007_199_254_740_992, "9.007199254740992e+15"),
    ])
    func `the bound of a bucket is a canonical number`(bound: Double, text: String) {
        #expect(boundText(bound) == text)
        #expect(Double(boundText(bound)) == bound)
    }
}
