{#-
  One source of the lake as a relation. Postgres reads its table. DuckDB reads the Parquet files where they lie (see
  `external_location` in models/staging/sources.yml), or, where there is no file yet, an empty relation with the
  columns and types that sources.yml declares: read_parquet refuses a pattern that matches nothing.
-#}
{% macro lake(name) %}
  {%- set relation = source('lake', name) -%}
  {{- return(adapter.dispatch('lake_relation', 'twohands')(name, relation)) -}}
{% endmacro %}

{% macro default__lake_relation(name, relation) %}
  {{- return(relation) -}}
{% endmacro %}

{% macro duckdb__lake_relation(name, relation) %}
  {%- if execute -%}
    {%- set declared = graph.sources.values() | selectattr('source_name', 'equalto', 'lake')
          | selectattr('name', 'equalto', name) | first -%}
    {%- set pattern = declared.config.meta['files'] -%}
    {%- set found = run_query("select count(*) from glob('" ~ pattern ~ "')").rows[0][0] -%}
    {%- if found == 0 -%}
      {%- set columns = [] -%}
      {%- for column in declared.columns.values() -%}
        {%- do columns.append('cast(null as ' ~ column.data_type ~ ') as ' ~ column.name) -%}
      {%- endfor -%}
      {{- return('(select ' ~ columns | join(', ') ~ ' where false)') -}}
    {%- endif -%}
  {%- endif -%}
  {{- return(relation) -}}
{% endmacro %}
