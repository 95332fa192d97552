//! The engine that ships: RocksDB.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    FlushOptions, IngestExternalFileOptions, IteratorMode, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

use super::{Batch, Durability, Engine, EngineError, Family, Found, Ingest, Op, Visit};

/// How much memory the database may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksConfig {
    /// For blocks read back, shared by all families.
    pub block_cache_bytes: usize,
    /// For writes not yet in files, all families together.
    pub write_buffer_bytes: usize,
}

impl Default for RocksConfig {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 64 << 20,
        }
    }
}

/// A RocksDB database with one column family for each [`Family`].
pub struct Rocks {
    db: DB,
    path: PathBuf,
    /// Where files lie that are not yet part of the database.
    incoming: PathBuf,
    incoming_count: AtomicU64,
    /// How files of [`Family::Runs`] and [`Family::Windows`] are written.
    ingested: Options,
}

fn failed(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> EngineError {
    move |source| EngineError {
        doing,
        source: Box::new(source),
    }
}

impl Rocks {
    /// Opens the database in `path`, making it when there is none. Only one process may have it
    /// open.
    ///
    /// # Errors
    /// When another process has it open, or it cannot be made, read or recovered.
    pub fn open(path: &Path, config: RocksConfig) -> Result<Self, EngineError> {
        let cache = Cache::new_lru_cache(config.block_cache_bytes);
        // The log is cut off after each flush: room reserved ahead would be most of it. The identity
        // is in the manifest too.
        let mut options = Options::default()
            .get_options_from_string("allow_fallocate=false;write_identity_file=false")
            .map_err(failed("setting options"))?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(config.write_buffer_bytes);
        options.set_max_total_wal_size(config.write_buffer_bytes as u64);
        options.set_max_background_jobs(2);
        // Its own log is for its developers; what fails is returned to us and logged by our caller.
        options.set_log_level(rocksdb::LogLevel::Error);
        options.set_keep_log_file_num(1);
        options.set_stats_dump_period_sec(0);
        // A torn tail is a write that was never acknowledged: drop it and go on.
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
        // Fails where there is no database yet.
        let present = DB::list_cf(&options, path).unwrap_or_default();
        let old = Family::OLD.into_iter();
        let old = old.filter(|family| present.iter().any(|name| name == family.name()));
        let families = Family::ALL.into_iter().chain(old).map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(family, &cache))
        });
        let mut db = DB::open_cf_descriptors(&options, path, families)
            .map_err(failed("opening the database"))?;
        drop_emptied(&mut db)?;
        drop_options_files(path)?;
        let incoming = path.join("incoming");
        clear(&incoming)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            incoming,
            incoming_count: AtomicU64::new(0),
            ingested: family_options(Family::Runs, &cache),
        })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, EngineError> {
        self.db.cf_handle(family.name()).ok_or_else(|| EngineError {
            doing: "finding a column family",
            source: format!("{} is not open", family.name()).into(),
        })
    }

    fn pinned(
        &self,
        family: Family,
        key: &[u8],
        options: &ReadOptions,
        found: &mut Found<'_>,
    ) -> Result<bool, EngineError> {
        // Without RocksDB's own checksums a flipped bit in a block can crash it.
        let row = self
            .db
            .get_pinned_cf_opt(self.family(family)?, key, options)
            .map_err(failed("reading a row"))?;
        Ok(row.is_some_and(|row| {
            found(&row);
            true
        }))
    }

    fn lacks(&self, family: Family) -> bool {
        Family::OLD.contains(&family) && self.db.cf_handle(family.name()).is_none()
    }
}

/// Drops families of an old format once they hold nothing more.
fn drop_emptied(db: &mut DB) -> Result<(), EngineError> {
    for family in Family::OLD {
        let is_empty = db
            .cf_handle(family.name())
            .is_some_and(|handle| db.iterator_cf(handle, IteratorMode::Start).next().is_none());
        if is_empty {
            db.drop_cf(family.name())
                .map_err(failed("dropping a family of an old format"))?;
        }
    }
    Ok(())
}

/// Drops what the database writes of its options at each start, some 50 KiB that it never reads. (A
/// checkpoint would want them: setting any option writes them again.)
fn drop_options_files(path: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError {
        doing: "dropping the file of options",
        source: Box::new(source),
    };
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with("OPTIONS-") {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Makes an empty folder, dropping the files that a crash left in it.
fn clear(folder: &Path) -> Result<(), EngineError> {
    let failed = |source| EngineError {
        doing: "making the folder of incoming files",
        source: Box::new(source),
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}

fn family_options(family: Family, cache: &Cache) -> Options {
    let mut options = Options::default();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_format_version(5);
    match family {
        // Rows of tens of kilobytes, compressed already, brought in as whole files and dropped as
        // such: there is nothing to compact.
        Family::Runs | Family::Windows => {
            // Each row in a block of its own, so that what damages one costs no other.
            blocks.set_block_size(1);
            options.set_compression_type(DBCompressionType::None);
            options.set_disable_auto_compactions(true);
        }
        // Rows of a few minutes.
        Family::Journal => options.set_compression_type(DBCompressionType::None),
        // Read as a whole when the database is opened, and otherwise seldom.
        _ => {
            blocks.set_block_size(64 << 10);
            options.set_compression_type(DBCompressionType::Zstd);
        }
    }
    options.set_block_based_table_factory(&blocks);
    options
}

/// One file on its way into the database. The file is made with its first row.
struct Incoming<'a> {
    rocks: &'a Rocks,
    family: Family,
    path: PathBuf,
    writer: SstFileWriter<'a>,
    is_open: bool,
}

impl Ingest for Incoming<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        if !self.is_open {
            self.writer
                .open(&self.path)
                .map_err(failed("making an incoming file"))?;
            self.is_open = true;
        }
        self.writer
            .put(key, value)
            .map_err(failed("writing an incoming file"))
    }

    fn finish(mut self: Box<Self>) -> Result<(), EngineError> {
        if !self.is_open {
            return Ok(());
        }
        self.writer
            .finish()
            .map_err(failed("writing an incoming file"))?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let family = self.rocks.family(self.family)?;
        self.rocks
            .db
            .ingest_external_file_cf_opts(family, &options, vec![&self.path])
            .map_err(failed("bringing in a file"))
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        // It was moved into the database, or it was given up; what stays is dropped at the next start.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Engine for Rocks {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut rows = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(family, key, value) => rows.put_cf(self.family(*family)?, key, value),
                Op::Delete(family, key) => rows.delete_cf(self.family(*family)?, key),
                Op::DeleteRange(family, start, end) => {
                    rows.delete_range_cf(self.family(*family)?, start, end);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db
            .write_opt(rows, &options)
            .map_err(failed("writing a batch"))
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        if self.lacks(family) {
            return Ok(None);
        }
        self.db
            .get_cf(self.family(family)?, key)
            .map_err(failed("reading a row"))
    }

    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        self.pinned(family, key, &ReadOptions::default(), found)
    }

    fn read_once(
        &self,
        family: Family,
        key: &[u8],
        found: &mut Found<'_>,
    ) -> Result<bool, EngineError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        self.pinned(family, key, &options, found)
    }

    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        let number = self.incoming_count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Incoming {
            rocks: self,
            family,
            path: self.incoming.join(format!("{number}.sst")),
            writer: SstFileWriter::create(&self.ingested),
            is_open: false,
        }))
    }

    fn drop_ingested(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        // Files that lie inside as a whole go at once; an ingest is one file.
        self.db
            .delete_file_in_range_cf(self.family(family)?, start_inclusive, end_exclusive)
            .map_err(failed("dropping files"))
    }

    fn settle(&self) -> Result<(), EngineError> {
        let logged = Family::ALL.into_iter().filter(|family| family.is_logged());
        let families = logged
            .map(|family| self.family(family))
            .collect::<Result<Vec<_>, _>>()?;
        self.db
            .flush_cfs_opt(&families, &FlushOptions::default())
            .map_err(failed("writing what is only in memory"))?;
        // What was written and removed since lies there until it is compacted.
        let journal = self.family(Family::Journal)?;
        self.db
            .compact_range_cf(journal, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        if self.lacks(family) {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(start_inclusive);
        options.set_iterate_upper_bound(end_exclusive);
        for row in self
            .db
            .iterator_cf_opt(self.family(family)?, options, IteratorMode::Start)
        {
            let (key, value) = row.map_err(failed("scanning rows"))?;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn drop_range(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        if self.lacks(family) {
            return Ok(());
        }
        let handle = self.family(family)?;
        let mut rows = WriteBatch::default();
        rows.delete_range_cf(handle, start_inclusive, end_exclusive);
        self.db.write(rows).map_err(failed("removing a range"))?;
        // Whole files inside the range go at once; compaction takes the rest.
        self.db
            .delete_file_in_range_cf(handle, start_inclusive, end_exclusive)
            .map_err(failed("dropping the files of a range"))
    }

    fn disk_bytes(&self) -> u64 {
        // Every file, journal included; a file that goes while it is counted does not count.
        std::fs::read_dir(&self.path).map_or(0, |entries| {
            let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
            sizes
                .filter(std::fs::Metadata::is_file)
                .map(|file| file.len())
                .sum()
        })
    }

    fn family_bytes(&self, family: Family) -> u64 {
        let handle = self.family(family).ok();
        let bytes = handle.and_then(|handle| {
            let name = rocksdb::properties::TOTAL_SST_FILES_SIZE;
            self.db.property_int_value_cf(handle, name).ok().flatten()
        });
        bytes.unwrap_or(0)
    }
}
