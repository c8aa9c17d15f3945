class Shop::Cart < Base
  include Comparable
  attr_reader :items

  def initialize(name)
    @name = name # def not_one; end
  end

  def <=>(other)
    0
  end

  def empty? = items.empty?

  def self.build; new("def not_two; end"); end

  class << self
    def make; end
  end

  private

  def hidden
    <<~TEXT
      def not_three
      end
    TEXT
  end

  public def shown; end

  def late; end
  private :shown
end
