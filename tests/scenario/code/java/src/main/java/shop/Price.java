package shop;
public final class Price { public static int sum() { return 1; } }
