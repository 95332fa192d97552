//! The functions of the language: names and types.

use super::ast::Type;

/// One function.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// What it does.
    pub id: Id,
    /// How it is called.
    pub name: &'static str,
    /// The types of its arguments; the last one repeats for a variadic function.
    pub args: &'static [Type],
    /// How many of the last arguments may be left out.
    pub optional: usize,
    /// Most arguments.
    pub args_max: usize,
    /// The type of its value.
    pub returns: Type,
}

/// No bound on the count of arguments; the length of the text bounds it.
const ANY: usize = usize::MAX;

const fn function(id: Id, name: &'static str, args: &'static [Type], returns: Type) -> Function {
    Function {
        id,
        name,
        args,
        optional: 0,
        args_max: args.len(),
        returns,
    }
}

const fn variadic(
    id: Id,
    name: &'static str,
    args: &'static [Type],
    args_max: usize,
    returns: Type,
) -> Function {
    Function {
        id,
        name,
        args,
        optional: 1,
        args_max,
        returns,
    }
}

/// Looks a function up by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .binary_search_by(|function| function.name.cmp(name))
        .ok()
        .map(|index| &FUNCTIONS[index])
}

/// All functions, sorted by name.
#[must_use]
pub fn all() -> &'static [Function] {
    &FUNCTIONS
}

use Type::{Matrix, Scalar, String, Vector};

#[rustfmt::skip]
static FUNCTIONS: [Function; 89] = [
    function(Id::Abs, "abs", &[Vector], Vector),
    function(Id::Absent, "absent", &[Vector], Vector),
    function(Id::AbsentOverTime, "absent_over_time", &[Matrix], Vector),
    function(Id::Acos, "acos", &[Vector], Vector),
    function(Id::Acosh, "acosh", &[Vector], Vector),
    function(Id::Asin, "asin", &[Vector], Vector),
    function(Id::Asinh, "asinh", &[Vector], Vector),
    function(Id::Atan, "atan", &[Vector], Vector),
    function(Id::Atanh, "atanh", &[Vector], Vector),
    function(Id::AvgOverTime, "avg_over_time", &[Matrix], Vector),
    function(Id::Ceil, "ceil", &[Vector], Vector),
    function(Id::Changes, "changes", &[Matrix], Vector),
    function(Id::Clamp, "clamp", &[Vector, Scalar, Scalar], Vector),
    function(Id::ClampMax, "clamp_max", &[Vector, Scalar], Vector),
    function(Id::ClampMin, "clamp_min", &[Vector, Scalar], Vector),
    function(Id::Cos, "cos", &[Vector], Vector),
    function(Id::Cosh, "cosh", &[Vector], Vector),
    function(Id::CountOverTime, "count_over_time", &[Matrix], Vector),
    variadic(Id::DayOfMonth, "day_of_month", &[Vector], 1, Vector),
    variadic(Id::DayOfWeek, "day_of_week", &[Vector], 1, Vector),
    variadic(Id::DayOfYear, "day_of_year", &[Vector], 1, Vector),
    variadic(Id::DaysInMonth, "days_in_month", &[Vector], 1, Vector),
    function(Id::Deg, "deg", &[Vector], Vector),
    function(Id::Delta, "delta", &[Matrix], Vector),
    function(Id::Deriv, "deriv", &[Matrix], Vector),
    function(Id::DoubleExponentialSmoothing, "double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector),
    function(Id::End, "end", &[], Scalar),
    function(Id::Exp, "exp", &[Vector], Vector),
    function(Id::FirstOverTime, "first_over_time", &[Matrix], Vector),
    function(Id::Floor, "floor", &[Vector], Vector),
    function(Id::HistogramAvg, "histogram_avg", &[Vector], Vector),
    function(Id::HistogramCount, "histogram_count", &[Vector], Vector),
    function(Id::HistogramFraction, "histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    function(Id::HistogramQuantile, "histogram_quantile", &[Scalar, Vector], Vector),
    variadic(Id::HistogramQuantiles, "histogram_quantiles", &[Vector, String, Scalar, Scalar], 12, Vector),
    function(Id::HistogramStddev, "histogram_stddev", &[Vector], Vector),
    function(Id::HistogramStdvar, "histogram_stdvar", &[Vector], Vector),
    function(Id::HistogramSum, "histogram_sum", &[Vector], Vector),
    function(Id::DoubleExponentialSmoothing, "holt_winters", &[Matrix, Scalar, Scalar], Vector),
    variadic(Id::Hour, "hour", &[Vector], 1, Vector),
    function(Id::Idelta, "idelta", &[Matrix], Vector),
    function(Id::Increase, "increase", &[Matrix], Vector),
    function(Id::Irate, "irate", &[Matrix], Vector),
    variadic(Id::LabelJoin, "label_join", &[Vector, String, String, String], ANY, Vector),
    function(Id::LabelReplace, "label_replace", &[Vector, String, String, String, String], Vector),
    function(Id::LastOverTime, "last_over_time", &[Matrix], Vector),
    function(Id::Ln, "ln", &[Vector], Vector),
    function(Id::Log10, "log10", &[Vector], Vector),
    function(Id::Log2, "log2", &[Vector], Vector),
    function(Id::MadOverTime, "mad_over_time", &[Matrix], Vector),
    function(Id::MaxOf, "max_of", &[Scalar, Scalar], Scalar),
    function(Id::MaxOverTime, "max_over_time", &[Matrix], Vector),
    function(Id::MinOf, "min_of", &[Scalar, Scalar], Scalar),
    function(Id::MinOverTime, "min_over_time", &[Matrix], Vector),
    variadic(Id::Minute, "minute", &[Vector], 1, Vector),
    variadic(Id::Month, "month", &[Vector], 1, Vector),
    function(Id::Pi, "pi", &[], Scalar),
    function(Id::PredictLinear, "predict_linear", &[Matrix, Scalar], Vector),
    function(Id::PresentOverTime, "present_over_time", &[Matrix], Vector),
    function(Id::QuantileOverTime, "quantile_over_time", &[Scalar, Matrix], Vector),
    function(Id::Rad, "rad", &[Vector], Vector),
    function(Id::Range, "range", &[], Scalar),
    function(Id::Rate, "rate", &[Matrix], Vector),
    function(Id::Resets, "resets", &[Matrix], Vector),
    variadic(Id::Round, "round", &[Vector, Scalar], 2, Vector),
    function(Id::Scalar, "scalar", &[Vector], Scalar),
    function(Id::Sgn, "sgn", &[Vector], Vector),
    function(Id::Sin, "sin", &[Vector], Vector),
    function(Id::Sinh, "sinh", &[Vector], Vector),
    function(Id::Sort, "sort", &[Vector], Vector),
    variadic(Id::SortByLabel, "sort_by_label", &[Vector, String], ANY, Vector),
    variadic(Id::SortByLabelDesc, "sort_by_label_desc", &[Vector, String], ANY, Vector),
    function(Id::SortDesc, "sort_desc", &[Vector], Vector),
    function(Id::Sqrt, "sqrt", &[Vector], Vector),
    function(Id::Start, "start", &[], Scalar),
    function(Id::StddevOverTime, "stddev_over_time", &[Matrix], Vector),
    function(Id::StdvarOverTime, "stdvar_over_time", &[Matrix], Vector),
    function(Id::Step, "step", &[], Scalar),
    function(Id::SumOverTime, "sum_over_time", &[Matrix], Vector),
    function(Id::Tan, "tan", &[Vector], Vector),
    function(Id::Tanh, "tanh", &[Vector], Vector),
    function(Id::Time, "time", &[], Scalar),
    function(Id::Timestamp, "timestamp", &[Vector], Vector),
    function(Id::TsOfFirstOverTime, "ts_of_first_over_time", &[Matrix], Vector),
    function(Id::TsOfLastOverTime, "ts_of_last_over_time", &[Matrix], Vector),
    function(Id::TsOfMaxOverTime, "ts_of_max_over_time", &[Matrix], Vector),
    function(Id::TsOfMinOverTime, "ts_of_min_over_time", &[Matrix], Vector),
    function(Id::Vector, "vector", &[Scalar], Vector),
    variadic(Id::Year, "year", &[Vector], 1, Vector),
];

/// What a function does; each is documented in Prometheus under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the language")]
pub enum Id {
    Abs,
    Absent,
    AbsentOverTime,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    AvgOverTime,
    Ceil,
    Changes,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    CountOverTime,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Deg,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    End,
    Exp,
    FirstOverTime,
    Floor,
    HistogramAvg,
    HistogramCount,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStddev,
    HistogramStdvar,
    HistogramSum,
    Hour,
    Idelta,
    Increase,
    Irate,
    LabelJoin,
    LabelReplace,
    LastOverTime,
    Ln,
    Log10,
    Log2,
    MadOverTime,
    MaxOf,
    MaxOverTime,
    MinOf,
    MinOverTime,
    Minute,
    Month,
    Pi,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rad,
    Range,
    Rate,
    Resets,
    Round,
    Scalar,
    Sgn,
    Sin,
    Sinh,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Sqrt,
    Start,
    StddevOverTime,
    StdvarOverTime,
    Step,
    SumOverTime,
    Tan,
    Tanh,
    Time,
    Timestamp,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
    Vector,
    Year,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for function in &FUNCTIONS {
            assert_eq!(find(function.name), Some(function), "{}", function.name);
        }
        assert_eq!(find("no_such_function"), None);
    }
}
